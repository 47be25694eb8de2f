"""How fast a platform may be written to: per chat, per group and in all, and pauses it asked for."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from bots.messages import ChatKey, Limits, Rate

_MAX_PLACES = 10_000  # remembered; quiet ones are dropped first


class Pacer:
    """Gives each send its moment; moments are reserved, so nobody overtakes."""

    def __init__(self, limits: Limits, clock: Callable[[], float] | None = None) -> None:
        """`clock` gives seconds that never go back; by default the running loop's."""
        self._limits = limits
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._moments: dict[ChatKey | None, deque[float]] = {}
        self._not_before: dict[ChatKey | None, float] = {}

    def reserve(self, chat: ChatKey, is_private: bool) -> float:
        """Take the next free moment; how many seconds from now it is."""
        now = self._clock()
        moment = max(now, self._not_before.get(chat, 0.0), self._not_before.get(None, 0.0))
        for key, rate in self._rates(chat, is_private):
            taken = self._moments.setdefault(key, deque(maxlen=256))
            if len(taken) >= rate.count:
                moment = max(moment, taken[-rate.count] + rate.seconds)
        for key in {key for key, _ in self._rates(chat, is_private)}:
            self._moments[key].append(moment)
        self._forget_quiet_places(now)
        return moment - now

    def hold(self, chat: ChatKey | None, seconds: float) -> None:
        """Send nothing to a chat for so long; None = to nobody."""
        until = self._clock() + seconds
        self._not_before[chat] = max(until, self._not_before.get(chat, 0.0))

    def _rates(self, chat: ChatKey, is_private: bool) -> Iterator[tuple[ChatKey | None, Rate]]:
        if self._limits.per_chat:
            yield chat, self._limits.per_chat
        if self._limits.per_group and not is_private:
            yield chat, self._limits.per_group
        if self._limits.overall:
            yield None, self._limits.overall

    def _forget_quiet_places(self, now: float) -> None:
        if len(self._moments) > _MAX_PLACES:
            rates = [self._limits.per_chat, self._limits.per_group, self._limits.overall]
            horizon = now - max(rate.seconds for rate in rates if rate)
            self._moments = {key: one for key, one in self._moments.items() if one[-1] > horizon}
        if len(self._not_before) > _MAX_PLACES:
            self._not_before = {key: until for key, until in self._not_before.items() if until > now}
