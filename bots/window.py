"""How many sends may be under way that are not noted yet: what a kill can repeat."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PATIENCE_S = 1.0  # a usual send takes a tenth of it
MAX_SLOW = 16


class Window:
    """So many sends at once, and those beside them that take too long.

    One that is slow steps out and lets the next begin: the first after `patience_s`, while that one is still
    under way the second after half of it, and so on, up to `max_slow`. One slow send thus costs other chats a
    moment, and a platform that is slow as a whole is still written to several times a second.
    """

    def __init__(self, num_at_once: int, patience_s: float = PATIENCE_S, max_slow: int = MAX_SLOW) -> None:
        self._places = asyncio.Semaphore(num_at_once)
        self._patience_s, self._max_slow = patience_s, max_slow
        self.num_slow = 0  # that have stepped out and are not noted yet

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place; send and note inside."""
        await self._places.acquire()
        mine = _Place()
        self._watch(mine, self._patience_s / (1 + self.num_slow))
        try:
            yield
        finally:
            mine.timer.cancel()
            if mine.is_slow:
                self.num_slow -= 1
            else:
                self._places.release()

    def _watch(self, place: "_Place", seconds: float) -> None:
        place.timer = asyncio.get_running_loop().call_later(seconds, self._step_out, place)

    def _step_out(self, place: "_Place") -> None:
        if self.num_slow >= self._max_slow:
            self._watch(place, self._patience_s)
            return
        place.is_slow = True
        self.num_slow += 1
        self._places.release()


@dataclass(slots=True)
class _Place:
    timer: asyncio.TimerHandle = field(init=False)
    is_slow: bool = False
