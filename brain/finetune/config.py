"""Options of a training run: one value, written as TOML by people, kept in run.json."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brain.config import Options

_Share = Annotated[float, Field(ge=0, lt=1)]


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
    row_lens: Annotated[tuple[Annotated[int, Field(ge=8)], ...], Field(min_length=1)] = (
        256,
        512,
    )  # packed rows: shortest that fits a window
    batch_tokens: Annotated[int, Field(ge=8)] | Literal["auto"] = (
        4096  # per process and micro-batch, padding included; auto = what fits the memory
    )
    accumulation: Annotated[int, Field(ge=1)] = 1  # micro-batches per optimiser step
    step_tokens: Annotated[int, Field(ge=8)] = 4096  # per optimiser step of all processes, with auto
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
    precision: Literal["auto", "bf16", "autocast", "fp32"] = (
        "auto"  # bf16 = bfloat16 working copy of float32 weights; autocast = bfloat16 products only
    )
    checkpointing: bool = False  # compute activations again instead of keeping them: less memory, slower
    compile: bool = False  # torch.compile with the loss inside; pays for small models on a CPU


class LoraConfig(Options):
    """Low-rank updates of the hidden matrices (Hu et al. 2022), by peft; only with `lora = true`."""

    rank: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[float, Field(gt=0)] = 16.0  # updates are scaled by alpha / rank
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # on the updates' inputs
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("c_attn", "c_proj", "c_fc")


class ReplayConfig(Options):
    """General talk mixed in against forgetting; both sides of it carry loss."""

    share: _Share = 0.0  # of the trained tokens of a pass; 0 = off
    data: tuple[str, ...] = ()  # FILE or FILE@RATE to draw from; empty = talks that the base makes up
    sessions: Annotated[int, Field(ge=2)] = 200  # how many talks the base makes up
    session_len: Annotated[int, Field(ge=16)] = 160  # tokens of each


class MemorisationConfig(Options):
    """How much of its training lines a model may recite, and how that is looked for."""

    prompts: Annotated[int, Field(ge=0)] = 60  # held-out and training prompts, so many each; 0 = off
    samples: Annotated[int, Field(ge=1)] = 4  # drawn replies to each, besides the greedy one
    copied_tokens: Annotated[int, Field(ge=2)] = 8  # in a row, from one training line: a copy
    max_copied_share: Annotated[float, Field(ge=0, le=1)] = 0.1  # of the replies
    canaries: Annotated[int, Field(ge=0)] = 0  # made-up secrets to plant in the data and to ask for
    on_excess: Literal["warn", "fail"] = "warn"  # fail = exit code 1; the model is kept either way


class FinetuneConfig(Options):
    """What runs share unless told otherwise: section [finetune] of config.toml."""

    num_threads: Annotated[int, Field(ge=0)] = 0  # 0 = what torch finds
    train_first_turn: bool = False  # also learn the opening turn, which answers nothing
    random_split: Annotated[float, Field(ge=0, le=1)] = (
        0.0  # share of sessions cut at a random turn each pass
    )
    holdout: _Share = 0.0  # share of the sessions kept back to validate on when there is no dev file
    eval_every: Annotated[int, Field(ge=1)] = 500  # optimiser steps
    save_every: Annotated[int, Field(ge=1)] = 250  # optimiser steps
    patience: Annotated[int, Field(ge=0)] = (
        0  # evaluations without a better val_loss before stopping; 0 = off
    )
    optim: OptimConfig = OptimConfig()
    lora_weights: LoraConfig = LoraConfig()
    replay: ReplayConfig = ReplayConfig()
    memorisation: MemorisationConfig = MemorisationConfig()


class TrainConfig(FinetuneConfig):
    """Everything one run needs; the same value and data give the same weights on the same machine."""

    data: Annotated[
        tuple[str, ...], Field(min_length=1)
    ]  # FILE, FILE@0.1 (a tenth, drawn once), FILE@3 (three copies)
    dev: tuple[str, ...] = ()  # held-out data to keep the best weights by
    general: tuple[str, ...] = ()  # measured before and after, to tell what was forgotten; chooses nothing
    out: Path
    base: str | None = None  # model to go on from; None needs scratch
    scratch: ScratchConfig | None = None
    speaker: str = ""  # only this speaker's turns carry loss; empty = as the data's weights say
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
        if self.scratch and self.lora:
            raise ValueError("LoRA weights are for a base model; leave out --lora, or name --base")
        if self.scratch and self.replay.share and not self.replay.data:
            raise ValueError("replay needs replay.data: a model trained from nothing has no talks to replay")
        return self
