"""What a run leaves behind: metrics.jsonl, run.json, the resume point, the picture of its losses."""

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch
from accelerate import Accelerator

from brain.encoding import TurnEncoder
from brain.finetune.config import TrainConfig
from brain.finetune.identity import identity, require_same_run
from brain.finetune.models import cannot_write, whole_folder
from brain.finetune.plot import HINT, write_plot
from brain.finetune.position import Position, Scores
from brain.finetune.progress import ProgressBar
from brain.finetune.run_card import write_card

LOG_EVERY = 10  # optimiser steps per line of metrics.jsonl
FORMAT = 2


class RunLog:
    """Owns the files of one run folder; processes other than the main one write nothing."""

    def __init__(self, config: TrainConfig, *, is_main: bool) -> None:
        self._config, self._is_main = config, is_main
        self._dir = config.out
        self.model_dir = config.out / "model"
        self._state_dir = config.out / "state"
        self._progress: ProgressBar | None = None
        self._losses: list[float] = []
        self._tokens, self._since = 0, time.monotonic()
        self._sitting = time.monotonic()
        self._run: dict[str, Any] = {}

    def check_folder(self) -> None:
        """Refuse a folder that holds another run. Raises ConfigError."""
        require_same_run(self._config)

    def start(self) -> Position:
        """Make the folder for a new run. Raises TrainingError when that cannot be."""
        if self._is_main:
            try:
                self._dir.mkdir(parents=True, exist_ok=True)
                (self._dir / "metrics.jsonl").unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(self._dir, error) from error
        return Position()

    def before(self, key: str) -> Any:
        """What run.json of an earlier sitting says; None without one."""
        path = self._dir / "run.json"
        return json.loads(path.read_text()).get(key) if self._config.resume and path.exists() else None

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
        """Replace the resume point; a kill at any moment leaves the old one or the new one.

        Raises:
            TrainingError: it cannot be written; the old one is still there.
        """
        self._count_seconds(position)
        if not self._is_main:
            accelerator.save_state(str(self._state_dir.with_name("state.new")))
            accelerator.wait_for_everyone()
            accelerator.wait_for_everyone()
            return
        with whole_folder(self._state_dir) as new:
            accelerator.save_state(str(new))
            accelerator.wait_for_everyone()
            (new / "position.json").write_text(json.dumps(asdict(position)))
        accelerator.wait_for_everyone()

    def describe(self, encoder: TurnEncoder, model: torch.nn.Module, **facts: object) -> None:
        """Write run.json as known before the first step, and start the progress bar.

        Args:
            facts: further keys of run.json, num_steps among them.
        """
        if not self._is_main:
            return
        names = (
            "torch",
            "transformers",
            "accelerate",
            "tokenizers",
            *(["peft"] if self._config.lora else []),
        )
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self._run = {
            "format": FORMAT,
            **identity(self._config),
            "parameters": sum(p.numel() for p in model.parameters()),
            "trained_parameters": trained,
            "vocab_size": encoder.vocab_size,
            **facts,
            "versions": {name: version(name) for name in names} | {"python": platform.python_version()},
        }
        self._write_run()
        self._progress = ProgressBar(self._run["num_steps"])

    def step(
        self, position: Position, loss: float, lr: float, grad_norm: float, num_tokens: int, passes: float
    ) -> None:
        """Note one optimiser step; every LOG_EVERY steps and at the end a line with the mean loss since.

        Args:
            passes: over the data so far, fractions included.
        """
        self._losses.append(loss)
        self._tokens += num_tokens
        if not self._is_main or (position.step % LOG_EVERY and position.step != self._run["num_steps"]):
            return
        now = time.monotonic()
        seconds, mean = max(now - self._since, 1e-9), sum(self._losses) / len(self._losses)
        row = {
            "step": position.step,
            "loss": round(mean, 5),
            "lr": lr,
            "grad_norm": round(grad_norm, 4),
            "tokens_per_s": round(self._tokens / seconds, 1),
            "epoch": round(passes, 4),
        }
        assert self._progress
        self._progress.tell(position.step, mean, self._tokens / seconds, seconds / len(self._losses))
        self._losses, self._tokens, self._since = [], 0, now
        self._append(row)

    def is_best(self, position: Position, scores: Scores) -> bool:
        """Note a validation; true when its mean loss (nats per token over the dev files) is the lowest."""
        val_loss = _mean(scores)
        per_byte = {name: round(value, 5) for name, (_, value) in scores.items()}
        self._append({"step": position.step, "val_loss": round(val_loss, 5), "nats_per_byte": per_byte})
        self.say(f"step {position.step}: val_loss {val_loss:.4f} nats/byte {per_byte}")
        best = position.best_val_loss is None or val_loss < position.best_val_loss
        position.evals_without_gain = 0 if best else position.evals_without_gain + 1
        if best:
            position.best_val_loss, position.best_step = val_loss, position.step
            position.best_nats_per_byte = per_byte
        return best

    def note_base(self, position: Position, dev: Scores, general: Scores) -> None:
        """Note how well the base does before the first step."""
        position.base_val_loss = _mean(dev) if dev else None
        position.base_general = _per_token(general)
        if dev:
            self.say(f"before training: val_loss {position.base_val_loss:.4f}")

    def note_general(self, position: Position, general: Scores) -> None:
        """Note how well the best weights so far do on general talk."""
        position.best_general = _per_token(general)

    def say(self, line: str) -> None:
        """A line on stderr, beside the progress bar."""
        if self._is_main and self._progress:
            self._progress.say(line)

    def is_patience_lost(self, position: Position) -> bool:
        """Whether so many validations in a row brought nothing that the run ends early."""
        return 0 < self._config.patience <= position.evals_without_gain

    def stop(self) -> None:
        """Take the progress bar down, also after a failure."""
        if self._progress:
            self._progress.stop()

    def finish(self, position: Position) -> None:
        """Complete run.json, draw the losses and write the model's card. Raises TrainingError."""
        self._count_seconds(position)
        self.stop()
        if not self._is_main:
            return
        val, base = position.best_val_loss, position.base_val_loss
        self._run |= {
            "best_val_loss": val,
            "best_perplexity": None if val is None else float(torch.tensor(val).exp()),
            "best_step": position.best_step,
            "best_nats_per_byte": position.best_nats_per_byte,
            "base_val_loss": base,
            "val_change": None if val is None or not base else round(val / base - 1, 5),
            "general": {
                name: {"base": base, "now": now, "change": round(now / base - 1, 5)}
                for name, now in position.best_general.items()
                if (base := position.base_general.get(name))
            },
            "steps": position.step,
            "seconds": round(position.seconds, 1),
        }
        self.complete({})
        if not write_plot(self._dir / "metrics.jsonl", self._dir / "loss.png"):
            self.say(HINT)

    def complete(self, facts: Mapping[str, object]) -> None:
        """Add keys to run.json and write the model's card from it. Raises TrainingError."""
        self._run |= facts
        self._write_run()
        try:
            write_card(self.model_dir, self._run)
        except OSError as error:
            raise cannot_write(self.model_dir, error) from error

    def _count_seconds(self, position: Position) -> None:
        now = time.monotonic()
        position.seconds += now - self._sitting
        self._sitting = now

    def _append(self, row: dict[str, Any]) -> None:
        if not self._is_main:
            return
        path = self._dir / "metrics.jsonl"
        try:
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise cannot_write(path, error) from error

    def _drop_metrics_after(self, step: int) -> None:
        path = self._dir / "metrics.jsonl"
        rows = path.read_text().splitlines() if path.exists() else []
        path.write_text("".join(row + "\n" for row in rows if json.loads(row)["step"] <= step))

    def _write_run(self) -> None:
        path = self._dir / "run.json"
        new = path.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._run, indent=1) + "\n")
            os.replace(new, path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise cannot_write(path, error) from error


def _mean(scores: Scores) -> float:
    return sum(per_token for per_token, _ in scores.values()) / len(scores)


def _per_token(scores: Scores) -> dict[str, float]:
    return {name: round(per_token, 5) for name, (per_token, _) in scores.items()}
