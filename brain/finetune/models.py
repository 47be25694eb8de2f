"""Where a run starts from, and the folder it ends in."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel
from transformers.utils import logging

from brain.encoding import TurnEncoder, encoder_from_folder, train_encoder
from brain.errors import ConfigError, DataError, TrainingError
from brain.finetune.config import OptimConfig, TrainConfig
from brain.finetune.corpus import texts
from brain.finetune.lora import require_base, role_of, with_lora


def starting_point(config: TrainConfig) -> tuple[PreTrainedModel, TurnEncoder]:
    """The model to train, in float32 and without LoRA weights yet, and its encoder.

    Raises:
        CheckpointError: the base cannot be loaded.
        ConfigError: rows are longer than its positions, or LoRA weights cannot be laid over it.
        DataError: a shared tokenizer has more entries than vocab_size.
    """
    if config.lora:
        require_base(config)
    model, encoder = _from_scratch(config) if config.scratch else _from_base(config)
    longest, positions = max(config.optim.row_lens), int(getattr(model.config, "max_position_embeddings", 0))
    if longest > positions:
        raise ConfigError(f"optim.row_lens go up to {longest}, but {config.base} has {positions} positions")
    return model, encoder


def ready_to_train(model: PreTrainedModel, config: TrainConfig) -> PreTrainedModel:
    """All of the model, or fresh LoRA weights over it, made trainable; draws from torch's random state."""
    make_trainable(model, config.optim)
    return with_lora(model, config.lora_weights) if config.lora else model


def make_trainable(model: PreTrainedModel, optim: OptimConfig) -> None:
    """Turn a model that was loaded for talking, or made anew, into one for the recipe; changes it."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = optim.dropout
    model.set_attn_implementation("eager")  # on a CPU faster here than sdpa with a mask, once compiled
    model.config.use_cache = False
    model.requires_grad_(True)
    if optim.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[no-untyped-call]


def _from_scratch(config: TrainConfig) -> tuple[PreTrainedModel, TurnEncoder]:
    shape = config.scratch
    assert shape is not None
    encoder = (
        encoder_from_folder(Path(shape.tokenizer))
        if shape.tokenizer
        else train_encoder(texts(config), shape.vocab_size)
    )
    if encoder.vocab_size > shape.vocab_size:
        raise DataError(
            shape.tokenizer, 0, f"has {encoder.vocab_size} entries, vocab_size is {shape.vocab_size}"
        )
    gpt2 = GPT2Config(
        vocab_size=shape.vocab_size,
        n_positions=shape.max_positions,
        n_embd=shape.width,
        n_layer=shape.num_layers,
        n_head=shape.num_heads,
        attn_pdrop=0.0,
        resid_pdrop=config.optim.dropout,
        embd_pdrop=config.optim.dropout,
        bos_token_id=encoder.end_id,
        eos_token_id=encoder.end_id,
    )
    torch.manual_seed(config.seed)
    return GPT2LMHeadModel(gpt2), encoder


def _from_base(config: TrainConfig) -> tuple[PreTrainedModel, TurnEncoder]:
    from brain.checkpoint import load

    assert config.base is not None
    loaded = load(config.base, role=role_of(config), device="cpu", dtype="float32")
    return loaded.model, loaded.encoder


def write_model(
    model: Any,
    encoder: TurnEncoder | None,
    folder: Path,
    state: Mapping[str, Tensor] | None = None,
    complete: Callable[[Path], None] | None = None,
) -> None:
    """Write an ordinary transformers folder, or PEFT's; it appears or is replaced as a whole.

    With an encoder it holds tokenizer.json too; without, the tokenizer lies beside it.

    Args:
        state: float32 weights by the model's names, where the model itself holds rounded copies.
        complete: writes further files into the new folder before it takes its place.
    Raises:
        TrainingError: it cannot be written.
    """
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers types it not
    with whole_folder(folder) as new:
        # Asked about embeddings, peft would look for the base on the hub; none of ours are changed.
        options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
        model.save_pretrained(new, state_dict=None if state is None else dict(state), **options)
        if state is not None:
            _say_float32(new / "config.json")
        if encoder:
            encoder.save(new / "tokenizer.json")
        if complete:
            complete(new)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder to write into; it takes the place of `folder` when all is written, else it goes.

    Raises:
        TrainingError: something could not be written; `folder` is as it was.
    """
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        yield new
        replace_folder(new, folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch has no error of its own for a full disk
        shutil.rmtree(new, ignore_errors=True)
        raise cannot_write(folder, error) from error


def cannot_write(path: Path, error: Exception) -> TrainingError:
    """The sentence for a file or folder of a run that could not be written."""
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
    return TrainingError(
        f"{path} cannot be written: {reason}; make room there, then go on with --resume or anew"
    )


def replace_folder(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`; at every moment one complete folder of the two is there."""
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def _say_float32(path: Path) -> None:
    """transformers notes the number format of the model in memory, not that of the weights it was given."""
    if path.is_file():
        values = json.loads(path.read_text(encoding="utf-8")) | {"dtype": "float32"}
        path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
