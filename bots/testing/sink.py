"""A sink that remembers, and the two ways in which a real one can be slow or full."""

import asyncio
from collections.abc import Callable, Sequence

from bots.errors import Busy
from bots.messages import Event, Health, Incoming, MessageRef, storable


class RecordingSink:
    """Keeps events in memory, ignores known keys as the real one does, asserts what every event must hold.

    Attributes: events, accepted ones in order; offered, every offer, repeats included; healths.
    """

    def __init__(self, adapter: str) -> None:
        """For the events of one adapter, by its name."""
        self.events: list[Event] = []
        self.offered: list[Event] = []
        self.healths: list[Health] = []
        self._adapter = adapter
        self._num_busy = 0
        self._open, self._news = asyncio.Event(), asyncio.Event()
        self._open.set()

    async def accept(self, *events: Event) -> None:
        """Keep what is new, once the sink is open."""
        for event in events:
            self._assert_sound(event)
        self.offered.extend(events)
        self._news.set()
        await self._open.wait()
        if self._num_busy:
            self._num_busy -= 1
            raise Busy(retry_after_s=0.05)
        known = {(event.origin.chat.bot, event.origin.key) for event in self.events}
        for event in events:
            if (event.origin.chat.bot, event.origin.key) not in known:
                self.events.append(event)
        self._news.set()

    async def last_seen(self, bot: str) -> Sequence[MessageRef]:
        """The newest message of each chat among the accepted events."""
        origins = [event.origin for event in self.events if event.origin.chat.bot == bot]
        newest = {origin.chat: origin.message_id for origin in origins if origin.message_id}
        return [MessageRef(chat, message_id) for chat, message_id in newest.items()]

    def report(self, health: Health) -> None:
        """Keep it."""
        self.healths.append(health)
        self._news.set()

    def close(self) -> None:
        """Let every `accept` wait, as when a commit takes long."""
        self._open.clear()

    def open(self) -> None:
        """Let them go on."""
        self._open.set()

    def be_busy(self, times: int) -> None:
        """Refuse the next offers."""
        self._num_busy = times

    def said(self) -> list[str]:
        """Texts of the accepted messages, in order."""
        return [event.text for event in self.events if isinstance(event, Incoming)]

    async def wait_for(self, is_so: Callable[["RecordingSink"], bool], timeout_s: float = 10.0) -> None:
        """Return as soon as `is_so` holds for this sink.

        Raises:
            TimeoutError: it did not in time.
        """
        async with asyncio.timeout(timeout_s):
            while not is_so(self):
                self._news.clear()
                await self._news.wait()

    def _assert_sound(self, event: Event) -> None:
        origin = event.origin
        assert origin.key, f"{type(event).__name__} has no key"
        assert origin.chat.adapter == self._adapter, (
            f"chat of adapter {origin.chat.adapter!r}, not {self._adapter!r}"
        )
        texts = [origin.user.name, getattr(event, "text", ""), getattr(event, "argument", "")]
        for text in texts:
            assert text == storable(text), (
                "text with lone surrogates or NUL; pass it through bots.messages.storable"
            )
