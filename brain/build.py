"""BrainConfig to Brain: the only place where engines are made."""

from brain.brain import Brain
from brain.checkpoint import Loaded, Role, has_pair, load
from brain.config import BrainConfig
from brain.errors import CheckpointError
from brain.protocols import Engine


def build(config: BrainConfig) -> Brain:
    """Load the models and start their engines; blocks for seconds, and longer when a model is downloaded.

    `reverse = "auto"` is the reverse model beside the forward one: the starter's, or that of a folder with
    both forward/ and reverse/; none for any other model.

    Raises:
        CheckpointError: a model cannot be found, read or trusted.
        ConfigError: this machine has no such device.
    """
    forward = _load(config.model, "forward", config)
    reverse = config.reverse
    if reverse == "auto":
        reverse = config.model if has_pair(config.model) else "none"
    loaded = None if reverse == "none" else _load(reverse, "reverse", config)
    if config.num_threads:
        import torch

        torch.set_num_threads(
            config.num_threads
        )  # per thread: here for loading, in the engine's for thinking
    return Brain(_engine(forward, config), config, None if loaded is None else _engine(loaded, config))


def _load(name: str, role: Role, config: BrainConfig) -> Loaded:
    try:
        return load(name, role=role, device=config.device, dtype=config.dtype)
    except CheckpointError as error:
        raise CheckpointError(f"{role} model: {error}") from error


def _engine(loaded: Loaded, config: BrainConfig) -> Engine:
    from brain.engine.engine import CausalEngine

    return CausalEngine(
        loaded.model,
        loaded.encoder,
        max_batch_rows=config.max_batch_rows,
        max_queue=config.max_queue,
        num_threads=config.num_threads,
    )
