"""Options of a training run: one value, written as TOML by people, kept in run.json."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brain.config import Options


class ScratchConfig(Options):
    """Shape of a model trained from nothing; a GPT-2 with tied embeddings (Radford et al. 2019)."""

    num_layers: Annotated[int, Field(ge=1)] = 6
    width: Annotated[int, Field(ge=8)] = 256
    num_heads: Annotated[int, Field(ge=1)] = 4
    max_positions: Annotated[int, Field(ge=16)] = 512
    vocab_size: Annotated[int, Field(ge=258)] = 8192  # entries of the byte-level BPE, learnt from the data
    tokenizer: str = ""  # folder with a tokenizer.json to share; empty = learn one

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of num_heads {self.num_heads}")
        return self


class OptimConfig(Options):
    """Steps, learning rates and batches. Lengths are in tokens, schedules in optimiser steps."""

    epochs: Annotated[float, Field(gt=0)] = 3.0  # passes over the data, fractions allowed
    row_lens: tuple[Annotated[int, Field(ge=8)], ...] = (256, 512)  # packed rows: shortest that fits a window
    batch_tokens: Annotated[int, Field(ge=8)] = 4096  # per process and micro-batch, padding included
    accumulation: Annotated[int, Field(ge=1)] = 1  # micro-batches per optimiser step
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: hidden matrices by Muon, the rest by AdamW
    lr: Annotated[float, Field(gt=0)] = 1.5e-3  # peak, AdamW
    muon_lr: Annotated[float, Field(gt=0)] = 4e-3  # peak, Muon, scaled to AdamW's update size
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: Annotated[float, Field(ge=0)] = 0.1  # matrices only; not biases, norms, embeddings
    clip_norm: Annotated[float, Field(gt=0)] = 1.0  # global norm over all parameters
    schedule: Literal["cosine", "linear", "noam", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    final_lr_ratio: Annotated[float, Field(ge=0, le=1)] = 0.05  # cosine and linear: last lr / peak lr
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # residuals and embeddings
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # auto = bf16 autocast where the device has it
    compile: bool = False  # torch.compile with the loss inside; pays for small models on a CPU


class FinetuneConfig(Options):
    """What runs share unless told otherwise: section [finetune] of config.toml."""

    num_threads: Annotated[int, Field(ge=0)] = 0  # 0 = what torch finds
    train_first_turn: bool = False  # also learn the opening turn, which answers nothing
    random_split: Annotated[float, Field(ge=0, le=1)] = (
        0.0  # share of sessions cut at a random turn each pass
    )
    eval_every: Annotated[int, Field(ge=1)] = 500  # optimiser steps
    save_every: Annotated[int, Field(ge=1)] = 250  # optimiser steps
    patience: Annotated[int, Field(ge=0)] = (
        0  # evaluations without a better val_loss before stopping; 0 = off
    )
    optim: OptimConfig = OptimConfig()


class TrainConfig(FinetuneConfig):
    """Everything one run needs; the same value and data give the same weights on the same machine."""

    data: Annotated[
        tuple[str, ...], Field(min_length=1)
    ]  # FILE, FILE@0.1 (a tenth, drawn once), FILE@3 (three copies)
    dev: tuple[str, ...] = ()
    out: Path
    base: str | None = None  # model to go on from; None needs scratch
    scratch: ScratchConfig | None = None
    reverse: bool = False  # read sessions newest first: P(history | response)
    lora: bool = False
    resume: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1

    @model_validator(mode="after")
    def _has_a_start(self) -> Self:
        if (self.base is None) == (self.scratch is None):
            raise ValueError("name either a base model or a scratch shape, not both and not neither")
        if self.scratch and max(self.optim.row_lens) > self.scratch.max_positions:
            raise ValueError(
                f"row_lens go up to {max(self.optim.row_lens)}, max_positions only to "
                f"{self.scratch.max_positions}"
            )
        return self
