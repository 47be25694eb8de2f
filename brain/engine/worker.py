"""The thread in which all models load and compute: engines take turns, and never fight for the cores.

Loading belongs here as well: each thread that lets torch compute in parallel gets helpers of its own from the
OpenMP runtime, and with more of them than cores every parallel step costs a tenth of a millisecond more.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, TypeVar

import torch

Step = Callable[[], bool]  # does one piece of work; false when there is none
T = TypeVar("T")


class Worker:
    """One thread that calls the steps of its engines in turn for as long as one of them has work."""

    def __init__(self, num_threads: int = 0) -> None:
        """Threads that torch uses inside this one; 0 leaves its default."""
        self._num_threads = num_threads
        self._steps: list[Step] = []
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._has_news = self._is_over = False
        self._num_rounds = 0
        self._thread: Thread | None = None
        self._changed = Condition()  # over the six above

    def call(self, work: Callable[[], T]) -> T:
        """Do something in the thread and wait for it; raises what it raises."""
        done: Future[T] = Future()
        with self._changed:
            self._calls.append((work, done))
            self._start()
        return done.result()

    def attach(self, step: Step) -> None:
        """Call a step from now on; it must not raise."""
        with self._changed:
            self._steps.append(step)
            self._start()

    def detach(self, step: Step) -> None:
        """Call it no more; returns when a call that was under way is over. May be called twice.

        The thread ends with its last step.
        """
        with self._changed:
            if step in self._steps:
                self._steps.remove(step)
            self._is_over = not self._steps
            self._tell()
            start, thread = self._num_rounds, self._thread
            self._changed.wait_for(lambda: self._thread is None or self._num_rounds > start)
            is_ending = self._thread is not thread
        if is_ending and thread is not None:
            # It may still be freeing tensors; a Python that ends meanwhile would abort.
            thread.join()

    def stop(self) -> None:
        """End the thread, when nothing was attached."""
        self.detach(lambda: False)

    def wake(self) -> None:
        """There is work."""
        with self._changed:
            self._tell()

    def _tell(self) -> None:
        self._has_news = True
        self._changed.notify_all()

    def _start(self) -> None:
        self._is_over = False
        if self._thread is None:
            self._thread = Thread(target=self._run, name="model", daemon=True)
            self._thread.start()
        self._tell()

    def _run(self) -> None:
        if self._num_threads:
            torch.set_num_threads(self._num_threads)
        while True:
            with self._changed:
                self._num_rounds += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._has_news)
                if self._is_over and not self._calls:
                    self._thread = None
                    self._changed.notify_all()
                    return
                self._has_news = False
                steps, calls = list(self._steps), list(self._calls)
                self._calls.clear()
            for work, done in calls:
                _settle(work, done)
            if any([step() for step in steps]):
                self.wake()


def _settle(work: Callable[[], Any], done: Future[Any]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)
