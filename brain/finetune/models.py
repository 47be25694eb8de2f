"""Where a run starts from, and the folder it ends in."""

import os
import shutil
from pathlib import Path

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel
from transformers.utils import logging

from brain.encoding import TurnEncoder, encoder_from_folder, train_encoder
from brain.errors import ConfigError, DataError
from brain.finetune.config import TrainConfig
from brain.finetune.corpus import texts


def starting_point(config: TrainConfig) -> tuple[PreTrainedModel, TurnEncoder]:
    """The model to train, in float32, and its encoder.

    Raises:
        CheckpointError: the base cannot be loaded.
        ConfigError: rows are longer than its positions.
        DataError: a shared tokenizer has more entries than vocab_size.
    """
    model, encoder = _from_scratch(config) if config.scratch else _from_base(config)
    longest, positions = max(config.optim.row_lens), int(getattr(model.config, "max_position_embeddings", 0))
    if longest > positions:
        raise ConfigError(f"optim.row_lens go up to {longest}, but {config.base} has {positions} positions")
    make_trainable(model, config.optim.dropout)
    return model, encoder


def make_trainable(model: PreTrainedModel, dropout: float) -> None:
    """Turn a model that was loaded for talking, or made anew, into one for the recipe; changes it."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    model.set_attn_implementation("eager")  # on a CPU faster here than sdpa with a mask, once compiled
    model.config.use_cache = False
    model.requires_grad_(True)


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
    loaded = load(config.base, role="reverse" if config.reverse else "forward", device="cpu", dtype="float32")
    return loaded.model, loaded.encoder


def write_model(model: PreTrainedModel, encoder: TurnEncoder | None, folder: Path) -> None:
    """Write an ordinary transformers folder; it appears or is replaced as a whole.

    With an encoder it holds tokenizer.json too; without, the tokenizer lies beside it.
    """
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers types it not
    model.save_pretrained(new)
    if encoder:
        encoder.save(new / "tokenizer.json")
    replace_folder(new, folder)


def replace_folder(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`; at every moment one complete folder of the two is there."""
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)
