"""Long polling: an update is confirmed by the next request, so only once the sink has it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from bots.errors import AdapterError, AdapterOffline, AdapterUnauthorized, Busy
from bots.telegram.client import Client
from bots.telegram.failures import WebhookSet
from bots.telegram.intake import Intake
from bots.telegram.pulse import Pulse
from bots.telegram.wire import update_id_from

_REMEMBERED_S = 24 * 3600.0  # Telegram numbers anew after a week of silence
_BREATH_S = 0.1
_FAREWELL_S = 0.4


class Cursor:
    """The number that confirms what came before it; none at first and after long silence.

    Attributes: is_owed, whether Telegram has not been told it yet.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._offset, self._moved_at = clock, 0, clock()
        self.is_owed = False

    def offset(self) -> int | None:
        """What to ask with; an old number could confirm new updates unseen when they count from below it."""
        if self._offset and self._clock() - self._moved_at < _REMEMBERED_S:
            return self._offset
        return None

    def pass_over(self, raws: Sequence[object]) -> None:
        """All of these are done.

        Raises:
            AdapterOffline: not one has a number, so they would come again and again.
        """
        numbers = [number for raw in raws if (number := update_id_from(raw)) is not None]
        if not numbers:
            raise AdapterOffline("telegram: updates without a number; check base_url")
        self._offset, self._moved_at, self.is_owed = max(numbers) + 1, self._clock(), True


class Polling:
    """Asks for updates until cancelled."""

    def __init__(self, client: Client, intake: Intake, pulse: Pulse, wait_s: int, takes_over: bool) -> None:
        """`wait_s` is how long one request waits for the first update."""
        self._client, self._intake, self._pulse = client, intake, pulse
        self._wait_s, self._takes_over = wait_s, takes_over

    async def run(self) -> None:
        """Receive; reconnects by itself.

        Raises:
            AdapterUnauthorized: the token is refused.
        """
        cursor = Cursor()
        try:
            await self._receive(cursor)
        finally:
            if cursor.is_owed:
                await self._confirm(cursor)

    async def _receive(self, cursor: Cursor) -> None:
        wait_s = 0  # to know at once that it works
        while True:
            try:
                asked_at = time.monotonic()
                raws = await self._client.updates(cursor.offset(), wait_s)
                cursor.is_owed = False
                self._pulse.is_up()
                if raws:
                    await self._take(raws)
                    cursor.pass_over(raws)
                elif wait_s and time.monotonic() - asked_at < _BREATH_S:
                    await asyncio.sleep(_BREATH_S)  # a server that does not wait must not be hammered
                wait_s = self._wait_s
            except AdapterUnauthorized:
                raise
            except AdapterError as error:
                await self._recover(error)
                wait_s = 0

    async def _confirm(self, cursor: Cursor) -> None:
        """A last word before the end; what is fetched by it stays unconfirmed."""
        with suppress(AdapterError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await self._client.updates(cursor.offset(), 0)

    async def _take(self, raws: Sequence[object]) -> None:
        """All at once; when the inbox is full for that, one after the other."""
        bites = [raws]
        while bites:
            try:
                await self._intake.take(bites[0])
            except Busy as busy:
                bites = [[raw] for bite in bites for raw in bite]
                await asyncio.sleep(busy.retry_after_s)
            else:
                bites = bites[1:]

    async def _recover(self, error: AdapterError) -> None:
        await asyncio.sleep(self._pulse.is_down(error))
        if self._takes_over and isinstance(error, WebhookSet):
            try:
                await self._client.delete_webhook()
            except AdapterUnauthorized:
                raise
            except AdapterError as failure:
                self._pulse.is_down(failure)
