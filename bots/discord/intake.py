"""From the gateway to the sink: never waits at one end, loses nothing at the other.

What does not fit into memory, what was said while we were away, and what could not be fetched yet is a gap:
a channel and the id after which its history is to be read. While a channel has a gap its messages are not
queued, for the history holds them too; so they arrive in order, and the sink ignores what it knows.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bots.discord.backoff import Backoff
from bots.discord.memory import Session
from bots.errors import Busy, ChatGone, DeliveryError, RetryAfter, SendRefused
from bots.messages import Command, Event, Incoming, Sink

# Pages of events said in a channel after an id, oldest first, each with the id that it ends with.
Fetch = Callable[[str, int], AsyncIterator[tuple[Sequence[Event], int]]]
MAX_BATCH = 50  # events of one commit
NUM_FETCHERS = 4
_SLACK = 60_000 << 22  # a minute of ids: channels do not come strictly one after the other
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewSession:
    """From here on nothing is replayed: ask for what was missed in all chats we know."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest message of a channel, which may be one where nobody has talked with us before."""

    channel: str
    id: int


@dataclass(frozen=True, slots=True)
class Reached:
    """All that a session has told up to here lies before."""

    session: Session


Mark = NewSession | Newest | Reached


class Intake:
    """A bounded queue of events, and the gaps in it.

    Attributes: accepted, the place in a session up to which the sink has everything.
    """

    def __init__(self, sink: Sink, bot: str, fetch: Fetch, max_waiting: int, max_backoff_s: float) -> None:
        """Events for `sink`; at most `max_waiting` are held."""
        self._sink, self._bot, self._fetch, self._max_waiting = sink, bot, fetch, max_waiting
        self._waiting: deque[Event | Mark] = deque()
        self._gaps: dict[str, int] = {}
        self._seen: dict[str, int] = {}  # by channel, at the beginning of the session
        self._news = asyncio.Event()
        self._backoff, self._retry_at = Backoff(max_backoff_s), 0.0
        self.accepted: Session | None = None
        self._is_reading = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to be read from channels."""
        return not self._gaps and not self._is_reading

    def offer(self, event: Event) -> bool:
        """Take an event; False if it is lost, for there is no room and no history that holds it."""
        self._news.set()
        chat, number = event.origin.chat.chat, _number_in_history(event)
        is_full = len(self._waiting) >= self._max_waiting
        if number and (is_full or chat in self._gaps):
            self.ask_after(chat, number - 1)
            return True
        if is_full:
            return False
        self._waiting.append(event)
        return True

    def ask_after(self, channel: str, after: int) -> None:
        """Read the history of a channel after an id, when what waits now is through."""
        self._gaps[channel] = min(after, self._gaps.get(channel, after))
        self._news.set()

    def mark(self, place: Mark) -> None:
        """Note something at this place of the stream; only as many come as there are channels."""
        if isinstance(place, Reached) and self._waiting and isinstance(self._waiting[-1], Reached):
            self._waiting.pop()
        self._waiting.append(place)
        self._news.set()

    async def deliver(self) -> None:
        """Bring everything to the sink until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            while self._waiting:
                await self._next()
            if self._gaps and clock() >= self._retry_at:
                await self._close_gaps()
            if not self._waiting:
                self._news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self._retry_at - clock()) if self._gaps else None):
                        await self._news.wait()

    async def _next(self) -> None:
        """What waits next: one commit, or a mark that needs more than noting."""
        batch: list[Event] = []
        reached = self.accepted
        while self._waiting and len(batch) < MAX_BATCH:
            one = self._waiting.popleft()
            if isinstance(one, Reached):
                reached = one.session
            elif isinstance(one, NewSession | Newest):
                await self._accept(batch)
                return await self._heed(one)
            elif _number_in_history(one) <= self._gaps.get(one.origin.chat.chat, 1 << 70):
                batch.append(one)
        await self._accept(batch)
        self.accepted = reached

    async def _heed(self, mark: NewSession | Newest) -> None:
        if isinstance(mark, NewSession):
            refs = await self._sink.last_seen(self._bot)
            self._seen = {ref.chat.chat: int(ref.id) for ref in refs if ref.id.isdecimal()}
            for channel, after in self._seen.items():
                self.ask_after(channel, after)
            await self._close_gaps()
        elif self._seen and mark.channel not in self._seen:
            if mark.id > (last := max(0, max(self._seen.values()) - _SLACK)):
                self.ask_after(mark.channel, last)

    async def _accept(self, events: Sequence[Event]) -> None:
        while events:
            try:
                return await self._sink.accept(*events)
            except Busy as busy:
                await asyncio.sleep(busy.retry_after_s)

    async def _close_gaps(self) -> None:
        self._retry_at, self._is_reading = 0.0, True
        channels = deque(self._gaps)

        async def fetcher() -> None:
            while channels:
                channel = channels.popleft()
                if pause := await self._close_gap(channel, self._gaps.pop(channel)):
                    channels.clear()  # the others would fail too, and people who talk now go first
                    self._retry_at = asyncio.get_running_loop().time() + pause

        async with asyncio.TaskGroup() as group:
            for _ in range(min(NUM_FETCHERS, len(channels))):
                group.create_task(fetcher())
        self._is_reading = False
        if not self._retry_at:
            self._backoff.reset()

    async def _close_gap(self, channel: str, after: int) -> float:
        """Read on from there; seconds to wait if that fails for now. What is said meanwhile queues up."""
        try:
            async for events, last in self._fetch(channel, after):
                await self._accept(events)
                after = last
        except (ChatGone, SendRefused) as error:
            _log.info("the history of a channel is closed to the bot: %s", error)
        except DeliveryError as error:
            _log.warning("the history of a channel cannot be read now: %s", error)
            self.ask_after(channel, after)
            return max(self._backoff.next_s(), error.seconds if isinstance(error, RetryAfter) else 0.0)
        return 0.0


def _number_in_history(event: Event) -> int:
    """The id of a message that can be fetched again, 0 for everything else."""
    is_message = isinstance(event, Incoming | Command) and event.origin.message_id
    return int(event.origin.message_id) if is_message else 0
