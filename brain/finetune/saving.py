"""Trained weights to a folder that loads as a model: a whole one, or LoRA weights with their base's hash."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from brain.encoding import TurnEncoder
from brain.finetune.config import TrainConfig
from brain.finetune.lora import write_base
from brain.finetune.models import write_model

PREFIX = "model."  # of the loss module that holds the model


def write_trained(
    model: Any,
    encoder: TurnEncoder,
    folder: Path,
    config: TrainConfig,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the model of a run; the folder appears or is replaced as a whole.

    Args:
        model: transformers' model, or peft's around it.
        state: float32 weights by the loss module's names, where `model` itself is in bfloat16.
    Raises:
        TrainingError: it cannot be written.
    """
    named = None
    if state is not None:
        named = {name.removeprefix(PREFIX): value for name, value in state.items()}
    complete = (lambda new: write_base(new, config)) if config.lora else None
    write_model(model, encoder, folder, named, complete)
