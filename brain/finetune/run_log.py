"""What a run leaves behind: metrics.jsonl, run.json, the resume point, and the progress bar."""

import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from brain.encoding import TurnEncoder
from brain.errors import ConfigError
from brain.finetune.config import TrainConfig
from brain.finetune.models import replace_folder
from brain.finetune.run_card import write_card
from brain.finetune.sessions import hash_of, split_rate

LOG_EVERY = 10  # optimiser steps per line of metrics.jsonl
FORMAT = 1
MAY_CHANGE = {
    "resume",
    "eval_every",
    "save_every",
    "patience",
    "num_threads",
}  # between two sittings of a run


@dataclass
class Position:
    """How far a run is; everything beside tensors that resuming needs."""

    step: int = 0  # optimiser steps done
    epoch: int = 0
    micro_step: int = 0  # micro-batches of this epoch already used
    best_val_loss: float | None = None
    best_step: int = 0
    best_nats_per_byte: dict[str, float] = field(default_factory=dict)
    evals_without_gain: int = 0
    seconds: float = 0.0  # of training, over all sittings

    def advance(self, epoch: int, micro_step: int) -> None:
        """One optimiser step is done."""
        self.step, self.epoch, self.micro_step = self.step + 1, epoch, micro_step


class RunLog:
    """Owns the files of one run folder; processes other than the main one write nothing."""

    def __init__(self, config: TrainConfig, *, is_main: bool) -> None:
        self._config, self._is_main = config, is_main
        self._dir = config.out
        self.model_dir = config.out / "model"
        self._state_dir = config.out / "state"
        self._progress: Progress | None = None
        self._losses: list[float] = []
        self._tokens, self._since = 0, time.monotonic()
        self._sitting = time.monotonic()
        self._run: dict[str, Any] = {}

    def check_folder(self) -> None:
        """Look at what `out` holds already.

        Raises:
            ConfigError: a run that this one would overwrite, or to be resumed with other options or data.
        """
        path = self._dir / "run.json"
        if not path.exists() or not any(self._dir.glob("state*/position.json")):
            return
        if not self._config.resume:
            raise ConfigError(f"{self._dir} holds a run already; go on with --resume or name another --out")
        before, now = json.loads(path.read_text()), self._identity()
        old, new = _flat(before["config"]), _flat(now["config"])
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key) and key not in MAY_CHANGE and key != "optim.epochs":
                raise ConfigError(
                    f"{self._dir}: cannot resume with another {key}, {new.get(key)} instead of "
                    f"{old.get(key)}; name another --out"
                )
        if before["data"] != now["data"]:
            raise ConfigError(
                f"{self._dir}: cannot resume, a data file has changed since; name another --out"
            )

    def _identity(self) -> dict[str, Any]:
        files = (*self._config.data, *self._config.dev)
        return {
            "config": self._config.model_dump(mode="json"),
            "data": {name: hash_of(split_rate(name)[0]) for name in files},
        }

    def start(self) -> Position:
        """Make the folder for a new run."""
        if self._is_main:
            self._dir.mkdir(parents=True, exist_ok=True)
            (self._dir / "metrics.jsonl").unlink(missing_ok=True)
        return Position()

    def resume(self, accelerator: Accelerator) -> Position:
        """Load weights, optimisers and random states from the last save; start anew when there is none."""
        folder = self._state_dir
        if not folder.exists() and folder.with_name("state.old").exists():
            folder = folder.with_name("state.old")  # killed between the two renames of a save
        if not (folder / "position.json").exists():
            return self.start()
        accelerator.load_state(str(folder))
        position = Position(**json.loads((folder / "position.json").read_text()))
        if self._is_main:
            self._drop_metrics_after(position.step)
        return position

    def save(self, accelerator: Accelerator, position: Position) -> None:
        """Replace the resume point; a kill at any moment leaves the old one or the new one."""
        new = self._state_dir.with_name("state.new")
        self._count_seconds(position)
        accelerator.save_state(str(new))
        accelerator.wait_for_everyone()
        if self._is_main:
            (new / "position.json").write_text(json.dumps(asdict(position)))
            replace_folder(new, self._state_dir)
        accelerator.wait_for_everyone()

    def describe(
        self,
        encoder: TurnEncoder,
        model: torch.nn.Module,
        num_steps: int,
        num_tokens: int,
    ) -> None:
        """Write run.json as known before the first step, and start the progress bar."""
        if not self._is_main:
            return
        self._run = {
            "format": FORMAT,
            **self._identity(),
            "parameters": sum(p.numel() for p in model.parameters()),
            "vocab_size": encoder.vocab_size,
            "tokens_per_epoch": num_tokens,
            "num_steps": num_steps,
            "versions": {
                name: version(name) for name in ("torch", "transformers", "accelerate", "tokenizers")
            }
            | {"python": platform.python_version()},
        }
        self._write_run()
        columns = ("{task.description}", "loss {task.fields[loss]:.3f}", "{task.fields[rate]:,.0f} tokens/s")
        console = Console(stderr=True)
        if console.is_terminal:
            first, *rest = (TextColumn(text) for text in columns)
            self._progress = Progress(first, BarColumn(), *rest, TimeRemainingColumn(), console=console)
            self._task = self._progress.add_task("training", total=num_steps, loss=float("nan"), rate=0.0)
            self._progress.start()

    def step(
        self,
        position: Position,
        loss: float,
        lr: float,
        grad_norm: float,
        num_tokens: int,
        steps_per_epoch: int,
    ) -> None:
        """Note one optimiser step; every LOG_EVERY steps a line with the mean loss since the last."""
        self._losses.append(loss)
        self._tokens += num_tokens
        if not self._is_main or position.step % LOG_EVERY:
            return
        now = time.monotonic()
        rate = self._tokens / max(now - self._since, 1e-9)
        row = {
            "step": position.step,
            "loss": round(sum(self._losses) / len(self._losses), 5),
            "lr": lr,
            "grad_norm": round(grad_norm, 4),
            "tokens_per_s": round(rate, 1),
            "epoch": round(position.step / steps_per_epoch, 4),
        }
        self._losses, self._tokens, self._since = [], 0, now
        self._append(row)
        if self._progress:
            self._progress.update(self._task, completed=position.step, loss=row["loss"], rate=rate)
        elif position.step % (10 * LOG_EVERY) == 0:
            left = (self._run["num_steps"] - position.step) * num_tokens / max(rate, 1e-9)
            print(
                f"step {position.step}/{self._run['num_steps']} loss {row['loss']:.3f} "
                f"{rate:,.0f} tokens/s, {left / 60:.0f} min left",
                file=sys.stderr,
                flush=True,
            )

    def is_best(self, position: Position, scores: dict[str, tuple[float, float]]) -> bool:
        """Note a validation; true when its mean loss (nats per token over the dev files) is the lowest."""
        val_loss = sum(per_token for per_token, _ in scores.values()) / len(scores)
        per_byte = {name: round(value, 5) for name, (_, value) in scores.items()}
        if self._is_main:
            self._append({"step": position.step, "val_loss": round(val_loss, 5), "nats_per_byte": per_byte})
            print(
                f"step {position.step}: val_loss {val_loss:.4f} nats/byte {per_byte}",
                file=sys.stderr,
                flush=True,
            )
        best = position.best_val_loss is None or val_loss < position.best_val_loss
        position.evals_without_gain = 0 if best else position.evals_without_gain + 1
        if best:
            position.best_val_loss, position.best_step = val_loss, position.step
            position.best_nats_per_byte = per_byte
        return best

    def is_patience_lost(self, position: Position) -> bool:
        """Whether so many validations in a row brought nothing that the run ends early."""
        return 0 < self._config.patience <= position.evals_without_gain

    def finish(self, position: Position) -> None:
        """Complete run.json and take the progress bar down."""
        self._count_seconds(position)
        if self._progress:
            self._progress.stop()
        if self._is_main:
            val = position.best_val_loss
            self._run |= {
                "best_val_loss": val,
                "best_perplexity": None if val is None else float(torch.tensor(val).exp()),
                "best_step": position.best_step,
                "best_nats_per_byte": position.best_nats_per_byte,
                "steps": position.step,
                "seconds": round(position.seconds, 1),
            }
            self._write_run()
            write_card(self.model_dir, self._run)

    def _count_seconds(self, position: Position) -> None:
        now = time.monotonic()
        position.seconds += now - self._sitting
        self._sitting = now

    def _append(self, row: dict[str, Any]) -> None:
        with (self._dir / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def _drop_metrics_after(self, step: int) -> None:
        path = self._dir / "metrics.jsonl"
        rows = path.read_text().splitlines() if path.exists() else []
        path.write_text("".join(row + "\n" for row in rows if json.loads(row)["step"] <= step))

    def _write_run(self) -> None:
        path = self._dir / "run.json"
        path.with_suffix(".new").write_text(json.dumps(self._run, indent=1) + "\n")
        os.replace(path.with_suffix(".new"), path)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options by dotted key."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        inner = isinstance(value, dict)
        out |= _flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return out
