"""How fast a platform may be written to: per chat, per group and in all, and pauses it asked for."""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator

from bots.messages import ChatKey, Limits, Rate

_MAX_PLACES = 10_000  # remembered; quiet ones are dropped first


class Pacer:
    """Gives each send its moment; moments are reserved, so nobody overtakes within a chat.

    A chat that has used up its own rate waits alone: its later moment takes just that place of the overall
    rate, and others go before it.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] | None = None) -> None:
        """`clock` gives seconds that never go back; by default the running loop's."""
        self._limits = limits
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._moments: dict[ChatKey, deque[float]] = {}
        self._overall: list[float] = []  # in order; as many lie ahead as sends wait for their moment
        self._not_before: dict[ChatKey | None, float] = {}

    def reserve(self, chat: ChatKey, is_private: bool) -> float:
        """Take the next free moment; how many seconds from now it is."""
        now = self._clock()
        moment = max(now, self._not_before.get(chat, 0.0), self._not_before.get(None, 0.0))
        if rates := list(self._rates(is_private)):
            taken = self._moments.setdefault(chat, deque(maxlen=256))
            for rate in rates:
                if len(taken) >= rate.count:
                    moment = max(moment, taken[-rate.count] + rate.seconds)
        if self._limits.overall:
            moment = self._free_moment(moment, now, self._limits.overall)
            insort(self._overall, moment)
        if rates:
            taken.append(moment)
        self._forget_quiet_places(now)
        return moment - now

    def hold(self, chat: ChatKey | None, seconds: float) -> None:
        """Send nothing to a chat for so long; None = to nobody."""
        until = self._clock() + seconds
        self._not_before[chat] = max(until, self._not_before.get(chat, 0.0))

    def _free_moment(self, earliest: float, now: float, rate: Rate) -> float:
        """The first moment from there on that leaves no stretch of time with more sends than allowed."""
        del self._overall[: bisect_left(self._overall, now - rate.seconds)]
        moment = earliest
        while (later := self._later(moment, rate)) is not None:
            moment = later
        return moment

    def _later(self, moment: float, rate: Rate) -> float | None:
        """None when the moment is free; else the next one worth looking at."""
        taken = self._overall
        place = bisect_right(taken, moment)
        for first in range(max(0, place - rate.count), place):  # with it, count + 1 from `first` on
            last = first + rate.count - 1
            end = moment if last < place else taken[last] if last < len(taken) else None
            if end is not None and end < taken[first] + rate.seconds:
                return taken[first] + rate.seconds
        last = place + rate.count - 1
        if last < len(taken) and taken[last] < moment + rate.seconds:
            return taken[place]
        return None

    def _rates(self, is_private: bool) -> Iterator[Rate]:
        """Those of one chat."""
        if self._limits.per_chat:
            yield self._limits.per_chat
        if self._limits.per_group and not is_private:
            yield self._limits.per_group

    def _forget_quiet_places(self, now: float) -> None:
        if len(self._moments) > _MAX_PLACES:
            rates = [self._limits.per_chat, self._limits.per_group]
            horizon = now - max(rate.seconds for rate in rates if rate)
            self._moments = {key: one for key, one in self._moments.items() if one[-1] > horizon}
        if len(self._not_before) > _MAX_PLACES:
            self._not_before = {key: until for key, until in self._not_before.items() if until > now}
