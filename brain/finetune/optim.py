"""Optimisers and learning-rate schedules of the recipe."""

import math
from functools import partial

import torch
from torch import nn

from brain.finetune.config import OptimConfig
from brain.finetune.masters import MasterWeights


def lr_factor(step: int, num_steps: int, config: OptimConfig, width: int) -> float:
    """What the configured learning rate is multiplied with in step `step` (0-based).

    constant, linear and cosine warm up linearly to 1, the last two then fall to final_lr_ratio.
    noam is DialoGPT's: 1e4 · width^-0.5 · min(t^-0.5, t · warmup^-1.5), t = step + 1, so that its configured
    lr is 1e-5 and its peak lr · 1e4 / sqrt(width · warmup). Source: Vaswani et al. 2017, section 5.3; the
    factor from DialoGPT's trainer.
    """
    warm = max(1, config.warmup_steps)
    t = step + 1
    if config.schedule == "noam":
        return 1e4 / math.sqrt(width) * min(1 / math.sqrt(t), t / warm / math.sqrt(warm))
    if t < warm:
        return t / warm
    if config.schedule == "constant":
        return 1.0
    done = min(1.0, (t - warm) / max(1, num_steps - warm))
    shape = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.final_lr_ratio + (1 - config.final_lr_ratio) * shape


def optimizers_for(model: nn.Module | MasterWeights, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """AdamW alone, or Muon for the hidden matrices beside AdamW for all else.

    Weight decay falls on matrices; biases, layer norms and embeddings are free of it.
    Source: Jordan et al. 2024 (Muon); its update is scaled to AdamW's as in Liu et al. 2025, section 2.2.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    hidden = [p for name, p in named if p.ndim == 2 and not _is_embedding(name)]
    rest = [p for name, p in named if p.ndim != 2 or _is_embedding(name)]
    fused = named[0][1].device.type in {"cpu", "cuda"}
    adamw = partial(torch.optim.AdamW, lr=config.lr, betas=config.betas, eps=1e-8, fused=fused)
    if config.optimizer == "adamw":
        groups = [
            {"params": hidden, "weight_decay": config.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        return [adamw(groups)]
    muon = torch.optim.Muon(
        hidden, lr=config.muon_lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return [muon, adamw(rest, weight_decay=0.0)]


def _is_embedding(name: str) -> bool:
    return any(part in name for part in ("wte", "wpe", "embed", "lm_head"))
