"""The thread in which all models compute: engines take turns, and never fight for the cores."""

from collections.abc import Callable
from threading import Condition, Thread

import torch

Step = Callable[[], bool]  # does one piece of work; false when there is none


class Worker:
    """One thread that calls the steps of its engines in turn for as long as one of them has work."""

    def __init__(self, num_threads: int = 0) -> None:
        """Threads that torch uses inside this one; 0 leaves its default."""
        self._num_threads = num_threads
        self._steps: list[Step] = []
        self._has_news = False
        self._num_rounds = 0
        self._thread: Thread | None = None
        self._changed = Condition()  # over the four above

    def attach(self, step: Step) -> None:
        """Call a step from now on; it must not raise."""
        with self._changed:
            self._steps.append(step)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="model", daemon=True)
                self._thread.start()

    def detach(self, step: Step) -> None:
        """Call it no more; returns when a call that was under way is over. May be called twice."""
        with self._changed:
            if step in self._steps:
                self._steps.remove(step)
            self._has_news = True
            self._changed.notify_all()
            start = self._num_rounds
            self._changed.wait_for(lambda: self._thread is None or self._num_rounds > start)

    def wake(self) -> None:
        """There is work."""
        with self._changed:
            self._has_news = True
            self._changed.notify_all()

    def _run(self) -> None:
        if self._num_threads:
            torch.set_num_threads(self._num_threads)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._has_news or not self._steps)
                self._num_rounds += 1
                if not self._steps:
                    self._thread = None
                    self._changed.notify_all()
                    return
                self._has_news = False
                steps = list(self._steps)
            is_busy = [step() for step in steps]
            with self._changed:
                self._num_rounds += 1
                self._has_news |= any(is_busy)
                self._changed.notify_all()
