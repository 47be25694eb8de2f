"""BrainConfig to Brain: the only place where engines are made."""

from typing import TYPE_CHECKING

from brain.brain import Brain
from brain.checkpoint import Role, Talker, has_pair, load_talker
from brain.config import BrainConfig
from brain.errors import CheckpointError
from brain.lora_folders import LoraFolders
from brain.protocols import Encoder
from brain.threads import wait_briefly

if TYPE_CHECKING:
    from brain.engine.engine import ModelEngine
    from brain.engine.model import Model
    from brain.engine.shelf import LoraSource
    from brain.engine.worker import Worker

_MIB = 2**20


def build(config: BrainConfig) -> Brain:
    """Load the models and start their engines; blocks for seconds, and longer when a model is downloaded.

    `reverse = "auto"` is the reverse model beside the forward one: the starter's, or that of a folder with
    both forward/ and reverse/; none for any other model. Both compute in one thread.

    Raises:
        CheckpointError: a model cannot be found, read or trusted.
        ConfigError: this machine has no such device.
    """
    wait_briefly()
    from brain.engine.worker import Worker

    reverse = config.reverse
    if reverse == "auto":
        reverse = config.model if has_pair(config.model) else "none"
    worker = Worker(config.num_threads)
    try:
        forward = worker.call(lambda: _load(config.model, "forward", config, config.cache_mib * _MIB))
        loaded = None if reverse == "none" else worker.call(lambda: _load(reverse, "reverse", config))
    except BaseException:
        worker.stop()
        raise
    back = None
    if loaded is not None:
        back = engine_for(loaded.model, loaded.encoder, config, worker, LoraFolders(reverse, "reverse"))
    loras = LoraFolders(config.model, "forward")
    return Brain(engine_for(forward.model, forward.encoder, config, worker, loras), config, back)


def _load(name: str, role: Role, config: BrainConfig, keep_bytes: int = 0) -> Talker:
    try:
        return load_talker(name, role=role, device=config.device, dtype=config.dtype, keep_bytes=keep_bytes)
    except CheckpointError as error:
        raise CheckpointError(f"{role} model: {error}") from error


def engine_for(
    model: "Model",
    encoder: Encoder,
    config: BrainConfig,
    worker: "Worker",
    loras: "LoraSource | None" = None,
) -> "ModelEngine":
    """Start the engine of one model that is loaded already; `loras` gives LoRA weights for single chats."""
    from brain.engine.engine import ModelEngine
    from brain.engine.scheduler import Limits

    limits = Limits(config.max_batch_rows, config.max_batch_positions, config.max_queue)
    max_lora_bytes = config.lora_mib * _MIB
    return ModelEngine(
        model, encoder, limits=limits, worker=worker, loras=loras, max_lora_bytes=max_lora_bytes
    )
