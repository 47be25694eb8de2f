"""What an engine tells of itself: counts, sums of seconds, and how late the event loop is."""

import asyncio
from dataclasses import dataclass

LAG_INTERVAL = 0.05  # seconds between two looks at the event loop's clock


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot; counts and seconds are since the start, sizes are of now.

    `prefilled`, `reused`, `stepped`, `scored` count tokens: read, taken from kept prompts, decoded, scored;
    `…_s` are seconds of the model's thread; `kept_bytes` the memory of kept prompts, `lora_bytes` that of
    LoRA weights; `loop_lag_s` how much later than asked the event loop woke up, the worst of the last second.
    """

    waiting: int
    running: int
    rows: int
    finished: int
    aborted: int
    prefilled: int
    reused: int
    stepped: int
    scored: int
    prefill_s: float
    decode_s: float
    score_s: float
    kept_bytes: int
    loop_lag_s: float
    lora_bytes: int = 0


class LoopLag:
    """Watches the event loop for as long as somebody waits for an answer: a tensor on it would show here."""

    def __init__(self) -> None:
        self._num_waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._recent: list[tuple[float, float]] = []  # time of the loop, lag

    @property
    def worst(self) -> float:
        """Seconds, of the last second watched."""
        newest = self._recent[-1][0] if self._recent else 0.0
        return max((lag for at, lag in self._recent if at > newest - 1), default=0.0)

    def __enter__(self) -> None:
        self._num_waiting += 1
        if self._timer is None:
            self._look_again(asyncio.get_running_loop())

    def __exit__(self, *error: object) -> None:
        self._num_waiting -= 1
        if self._num_waiting == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + LAG_INTERVAL
        self._timer = loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._recent = [(at, lag) for at, lag in self._recent if at > now - 1]
        self._recent.append((now, max(0.0, now - due)))
        self._look_again(loop)
