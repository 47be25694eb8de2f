"""How far a run has come, and how good it was on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Scores = Mapping[str, tuple[float, float]]  # by file stem: nats per token, nats per UTF-8 byte


@dataclass
class Position:
    """How far a run is; everything beside tensors that resuming needs. Losses are in nats per token."""

    step: int = 0  # optimiser steps done
    epoch: int = 0
    epoch_step: int = 0  # optimiser steps of this pass already done
    base_val_loss: float | None = None  # before the first step
    best_val_loss: float | None = None
    best_step: int = 0
    best_nats_per_byte: dict[str, float] = field(default_factory=dict)
    base_general: dict[str, float] = field(default_factory=dict)  # before the first step
    best_general: dict[str, float] = field(default_factory=dict)  # of the best weights
    evals_without_gain: int = 0
    seconds: float = 0.0  # of training, over all sittings

    def advance(self, epoch: int, epoch_step: int) -> None:
        """One optimiser step is done."""
        self.step, self.epoch, self.epoch_step = self.step + 1, epoch, epoch_step
