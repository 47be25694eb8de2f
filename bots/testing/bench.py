"""Where an adapter is tried: connected to a scripted platform, its tasks watched, all it lets out kept."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from bots.messages import Adapter, Outgoing
from bots.testing.script import Platform
from bots.testing.sink import RecordingSink

_T = TypeVar("_T")
SETTLE_S = 0.2  # how long something that must not happen is waited for


@dataclass(slots=True)
class Trial:
    """One instance at work: its `run` is a task, and what is awaited here fails as soon as that task ends."""

    adapter: Adapter
    sink: RecordingSink
    task: "asyncio.Task[None]"
    timeout_s: float

    async def until(self, is_so: Callable[[RecordingSink], bool], promise: str) -> None:
        """Wait until the sink looks so; `promise` is the complaint if it never does."""
        waiting = asyncio.ensure_future(self.sink.wait_for(is_so, self.timeout_s))
        await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            end = self.task.exception() if not self.task.cancelled() else "cancelled"
            raise AssertionError(f"{promise}; run ended: {end!r}")
        assert waiting.exception() is None, f"{promise}; waited {self.timeout_s:g} s"


@dataclass(slots=True)
class Bench:
    """Makes instances, and keeps what could betray a secret."""

    make: Callable[[], Adapter]
    platform: Platform
    timeout_s: float
    let_out: list[str] = field(default_factory=list)  # logs, errors with their tracebacks, healths
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def words(self) -> str:
        """A text that nobody has said before."""
        return f"words number {next(self._numbers)}"

    def outgoing(self, text: str, nonce: str = "") -> Outgoing:
        """A message to the platform's person."""
        return Outgoing(text, chat=self.platform.chat, nonce=nonce)

    def sink(self) -> RecordingSink:
        """A fresh one."""
        return RecordingSink(self.platform.chat.adapter)

    @asynccontextmanager
    async def running(self, sink: RecordingSink) -> AsyncIterator[Trial]:
        """A new instance, connected; cancelled at the end, which must come soon."""
        adapter = self.make()
        num_healths = len(sink.healths)
        # No TaskGroup: it would wait for ever for a task that ignores being cancelled.
        task = asyncio.ensure_future(adapter.run(sink))
        trial = Trial(adapter, sink, task, self.timeout_s)
        try:
            await trial.until(
                lambda seen: any(health.state == "connected" for health in seen.healths[num_healths:]),
                'Health("connected") was never reported',
            )
            yield trial
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=self.timeout_s)
            self.let_out += [repr(adapter), *(health.reason for health in sink.healths)]
            if task.done() and not task.cancelled() and (error := task.exception()):
                self.keep(error)
        assert task.done(), f"run did not end within {self.timeout_s:g} s of being cancelled"

    async def within(self, work: Awaitable[_T]) -> _T:
        """Its result, in time."""
        async with asyncio.timeout(self.timeout_s):
            return await work

    def keep(self, error: BaseException) -> None:
        """Remember an error as a log would show it."""
        self.let_out.append("".join(traceback.format_exception(error)))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep every log record that any logger lets through, from DEBUG on."""
        listener, root = _Listener(self.let_out), logging.getLogger()
        level = root.level
        root.addHandler(listener)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.setLevel(level)
            root.removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._heard = heard
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it with its traceback."""
        self._heard.append(self.format(record))
