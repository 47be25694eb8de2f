"""LoRA weights by peft: laid over a base model, written in PEFT's folder format with the base's hash.

Source: Hu et al. 2022. GPT-2 in transformers keeps its matrices as Conv1D, [in, out], hence fan_in_fan_out.
"""

import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from brain.checkpoint import Role, locate
from brain.errors import ConfigError
from brain.finetune.config import LoraConfig, TrainConfig
from brain.lora import ADAPTER_CONFIG, note_base

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def require_base(config: TrainConfig) -> None:
    """Look whether LoRA weights can be laid over the base of this run.

    Raises:
        ConfigError: peft is not installed, or the base is itself one with LoRA weights.
        CheckpointError: there is no such base.
    """
    if importlib.util.find_spec("peft") is None:
        raise ConfigError("--lora needs the package peft: pip install 'banterbrain[lora]', or use --full")
    assert config.base is not None
    if (locate(config.base, role_of(config)) / ADAPTER_CONFIG).is_file():
        raise ConfigError(
            f"{config.base} holds LoRA weights; name their base model as --base, or train on with --full"
        )


def with_lora(model: "PreTrainedModel", config: LoraConfig) -> "PreTrainedModel":
    """Lay fresh LoRA weights over `model`; only they can be trained.

    Draws from torch's random state. The update begins at zero, so the outputs are those of the base.

    Raises:
        ConfigError: none of the targets is a matrix of the model.
    """
    import peft

    options = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # a float does as well
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        fan_in_fan_out=_has_conv1d(model, config.targets),
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft's, about transformers
            return cast("PreTrainedModel", peft.get_peft_model(model, options))
    except ValueError as error:
        raise ConfigError(
            f"lora_weights.targets: {', '.join(config.targets)}: no such matrices in this model; "
            f"GPT-2 has c_attn, c_proj and c_fc"
        ) from error


def write_base(folder: Path, config: TrainConfig) -> None:
    """Note in a folder of LoRA weights the base of this run and its hash."""
    assert config.base is not None
    note_base(folder, config.base, locate(config.base, role_of(config)), reverse=config.reverse)


def plain_model(model: "torch.nn.Module") -> Any:
    """The transformers model inside, with LoRA weights in its matrices; `model` itself if it has none."""
    return model.get_base_model() if hasattr(model, "peft_config") else model  # type: ignore[operator]


def _has_conv1d(model: "PreTrainedModel", targets: tuple[str, ...]) -> bool:
    from transformers.pytorch_utils import Conv1D

    hit = [module for name, module in model.named_modules() if name.rpartition(".")[2] in targets]
    return any(isinstance(module, Conv1D) for module in hit)


def role_of(config: TrainConfig) -> Role:
    """Which model of a pair the run starts from."""
    return "reverse" if config.reverse else "forward"
