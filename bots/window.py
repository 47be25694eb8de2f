"""How many sends may be under way that are not noted yet: what a kill can repeat."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

PATIENCE_S = 0.15  # a usual send takes a third of it
MOST = 32  # at a second per send these are as many as Telegram takes in a second


class Window:
    """So many sends at once while that is enough; more as soon as somebody waits too long for it.

    Whoever has waited for `patience_s` goes beside those that are under way, up to `num_at_most`. So one slow
    send costs other chats a moment, and where many wait, or a platform is slow as a whole, as many go at once
    as it takes to keep up.
    """

    def __init__(self, num_at_once: int, patience_s: float = PATIENCE_S, num_at_most: int = MOST) -> None:
        self._num_at_once, self._num_at_most = num_at_once, max(num_at_once, num_at_most)
        self._patience_s = patience_s
        self._waiting: deque[_Waiting] = deque()
        self.num_inside = 0  # sent or being sent, and not noted yet

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place; send and note inside."""
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    async def _enter(self) -> None:
        loop = asyncio.get_running_loop()
        mine = _Waiting(loop.create_future())
        self._waiting.append(mine)
        timer = loop.call_later(self._patience_s, self._hurry, mine)
        self._let_in()
        try:
            await mine.turn
        except asyncio.CancelledError:
            if not mine.turn.cancelled():  # let in and cancelled in the same moment
                self._leave()
            raise
        finally:
            timer.cancel()

    def _leave(self) -> None:
        self.num_inside -= 1
        self._let_in()

    def _hurry(self, one: "_Waiting") -> None:
        one.is_late = True
        self._let_in()

    def _let_in(self) -> None:
        """Those who have waited longest first."""
        while self._waiting:
            first = self._waiting[0]
            if first.turn.cancelled():
                self._waiting.popleft()
                continue
            if self.num_inside >= (self._num_at_most if first.is_late else self._num_at_once):
                return
            self._waiting.popleft()
            self.num_inside += 1
            first.turn.set_result(None)


@dataclass(eq=False, slots=True)
class _Waiting:
    turn: "asyncio.Future[None]"
    is_late: bool = False
