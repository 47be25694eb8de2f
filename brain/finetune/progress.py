"""How far a run is: a bar on a terminal, plain lines elsewhere; both with rate, time left and loss."""

import sys
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_EVERY = 10  # lines of metrics per plain line


class ProgressBar:
    """Shown on stderr, so that what the command prints stays alone on stdout."""

    def __init__(self, num_steps: int) -> None:
        """Begin at once."""
        self._num_steps, self._num_told = num_steps, 0
        self._bar: Progress | None = None
        console = Console(stderr=True)
        if console.is_terminal:
            columns = (
                "{task.description}",
                "loss {task.fields[loss]:.3f}",
                "{task.fields[rate]:,.0f} tokens/s",
            )
            first, *rest = (TextColumn(text) for text in columns)
            self._bar = Progress(first, BarColumn(), *rest, TimeRemainingColumn(), console=console)
            self._task = self._bar.add_task("training", total=num_steps, loss=float("nan"), rate=0.0)
            self._bar.start()

    def tell(self, step: int, loss: float, rate: float, seconds_per_step: float) -> None:
        """Show the state after `step`: loss in nats per token, rate in tokens per second."""
        self._num_told += 1
        if self._bar:
            self._bar.update(self._task, completed=step, loss=loss, rate=rate)
        elif self._num_told % PLAIN_EVERY == 0:
            left = timedelta(seconds=round((self._num_steps - step) * seconds_per_step))
            self.say(f"step {step}/{self._num_steps} loss {loss:.3f} {rate:,.0f} tokens/s, {left} left")

    def say(self, line: str) -> None:
        """One line of its own, above the bar when there is one."""
        if self._bar:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Take the bar down; may be called twice."""
        if self._bar:
            self._bar.stop()
