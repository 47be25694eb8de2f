"""A model's name to engines and shape; the tokenizer is not needed, and not read if it is there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from brain.bench.ids import IdsEncoder
from brain.bench.shape import Shape
from brain.build import engine_for
from brain.checkpoint import Role, has_pair, load, load_talker, locate, placement
from brain.config import BrainConfig
from brain.engine.gpt2 import GPT2
from brain.engine.model import Model
from brain.engine.worker import Worker
from brain.errors import CheckpointError, ConfigError
from brain.lora import ADAPTER_CONFIG
from brain.lora_folders import LoraFolders
from brain.protocols import Engine
from brain.weights import describe, read_model, read_packed

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Pair:
    """Engines at work, the reverse one None when there shall be no MMI, and what is told about them.

    `reverse_name` is that of the model itself when its own weights stand in for a reverse model; one engine
    does both then. `shape` is None for a model that is no GPT-2.
    """

    forward: Engine
    reverse: Engine | None
    reverse_name: str | None
    encoder: IdsEncoder
    shape: Shape | None
    dtype: torch.dtype
    device: torch.device
    threads: int

    @property
    def dtype_name(self) -> str:
        """As people write it."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def prefill_s(self) -> float:
        """Seconds that the forward engine has spent on prompts since its start; 0 if it does not tell."""
        stats = getattr(self.forward, "stats", None)
        return stats.prefill_s if stats else 0.0

    async def close(self) -> None:
        """Stop the engines."""
        await self.forward.close()
        if self.reverse is not None:
            await self.reverse.close()


def open_pair(config: BrainConfig, *, with_mmi: bool) -> Pair:
    """Load a forward and a reverse model and start their engines, as `brain.build.build` does.

    `config.reverse` means what it means in a chat, but for "auto" with a model that has no reverse model
    beside it: then the same weights are used once more, which takes the same time.

    Raises:
        CheckpointError: a model cannot be found, read or trusted, or the two have not the same vocabulary.
        ConfigError: this machine has no such device.
    """
    worker = Worker(config.num_threads)
    try:
        return worker.call(lambda: _open_pair(config, worker, with_mmi))
    except BaseException:
        worker.stop()
        raise


def _open_pair(config: BrainConfig, worker: Worker, with_mmi: bool) -> Pair:
    threads = use_threads(config.num_threads)
    model = read(config.model, "forward", config, config.cache_mib * _MIB)
    encoder = ids_encoder(model.vocab_size)
    forward = engine_for(model, encoder, config, worker, LoraFolders(config.model, "forward"))
    name = _reverse_name(config) if with_mmi else None
    if name is not None and _stands_in(name, config):
        reverse: Engine | None = forward
    elif name is not None:
        reverse = engine_for(_other_model(name, config, model.vocab_size), encoder, config, worker)
    else:
        reverse = None
    return Pair(forward, reverse, name, encoder, _shape(model), _dtype(model, config), model.device, threads)


def read(name: str, role: Role, config: BrainConfig, keep_bytes: int = 0) -> Model:
    """A model to talk with, as `brain.checkpoint.load_talker` reads it."""
    path = locate(name, role)
    if not (path / ADAPTER_CONFIG).is_file() and describe(path).is_plain:
        device, dtype = placement(config.device, config.dtype)
        return read_packed(path, device, None if config.dtype == "auto" else dtype, keep_bytes)
    talker = load_talker(name, role=role, device=config.device, dtype=config.dtype, keep_bytes=keep_bytes)
    return talker.model


def read_to_train(name: str) -> "GPT2LMHeadModel":
    """A model to train, in float32 on the processor, as `brain.checkpoint.load` reads it."""
    path = locate(name, "forward")
    if (path / ADAPTER_CONFIG).is_file():
        return load(name, device="cpu", dtype="float32").model
    return read_model(path, torch.device("cpu"), torch.float32)


def use_threads(num_threads: int) -> int:
    """Set torch's threads here, 0 = leave them; returns how many there are."""
    if num_threads:
        torch.set_num_threads(num_threads)
    return torch.get_num_threads()


def ids_encoder(vocab_size: int) -> IdsEncoder:
    """An encoder with as many ids as the model has rows; the last one closes a turn, as in GPT-2."""
    return IdsEncoder(vocab_size, vocab_size - 1)


def require_room(num_tokens: int, what: str, max_positions: int) -> None:
    """Refuse sizes that the model cannot hold.

    Raises:
        ConfigError: one sentence that begins with `what`.
    """
    if num_tokens > max_positions:
        raise ConfigError(
            f"{what} make {num_tokens} tokens, but the model has {max_positions} positions; ask for fewer"
        )


def _reverse_name(config: BrainConfig) -> str | None:
    if config.reverse == "none":
        return None
    return config.model if config.reverse == "auto" else config.reverse


def _stands_in(name: str, config: BrainConfig) -> bool:
    """Whether the forward model's weights do for the reverse model, since nobody named another."""
    return config.reverse == "auto" and not has_pair(name)


def _other_model(name: str, config: BrainConfig, vocab_size: int) -> Model:
    reverse = read(name, "reverse", config)
    if reverse.vocab_size != vocab_size:
        raise CheckpointError(
            f"{name} has {reverse.vocab_size} tokens and {config.model} {vocab_size}; "
            f"MMI needs two models of one vocabulary"
        )
    return reverse


def _shape(model: Model) -> Shape | None:
    if not isinstance(model, GPT2):
        return None
    return Shape(model.shape.num_layers, model.shape.width, model.vocab_size)


def _dtype(model: Model, config: BrainConfig) -> torch.dtype:
    return model.dtype if isinstance(model, GPT2) else placement(config.device, config.dtype)[1]
