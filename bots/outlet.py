"""One adapter as the core sees it: up or down, paced, with nothing but DeliveryErrors coming out of it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bots.abilities import ShowsTyping
from bots.errors import AdapterUnauthorized, DeliveryError, SendFailed
from bots.messages import Adapter, ChatKey, Health, Limits, MessageRef, Origin, Outgoing
from bots.pacing import Pacer
from bots.window import Window

SEND_TIMEOUT_S = 30.0
_TYPING_AFTER_S = 0.2  # a quick answer needs no sign
FEW = 1  # what a kill can repeat while nobody waits; at 60 ms per request 16 messages a second
_MANY = 256
_PAUSES_S = (0.3, 1.0, 3.0)
_log = logging.getLogger(__name__)


class Outlet:
    """Stays while instances of the adapter come and go."""

    def __init__(self, name: str, limits: Limits, *, drops_repeats: bool = False) -> None:
        """`drops_repeats` when the platform goes by nonces, so that sending again shows nothing twice."""
        self.name, self.limits = name, limits
        self.unmarked = Window(_MANY if drops_repeats else FEW)
        self.pacer = Pacer(limits)
        self._dismissing: set[asyncio.Task[None]] = set()
        self.adapter: Adapter | None = None  # while its `run` runs
        self.health = Health("connecting")

    def report(self, health: Health) -> None:
        """What the adapter says of its connection; changes are logged."""
        if health != self.health:
            level = logging.WARNING if health.state == "degraded" else logging.INFO
            _log.log(level, "%s is %s", self.name, health.state, extra={"reason": health.reason})
        self.health = health

    async def send(self, message: Outgoing) -> MessageRef:
        """One message, now.

        Raises:
            DeliveryError.
        """
        if self.adapter is None:
            raise SendFailed(f"{self.name} is not running")
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                return await self.adapter.send(message)
        except DeliveryError:
            raise
        except AdapterUnauthorized as error:  # `run` meets the same and decides
            raise SendFailed(str(error)) from error
        except TimeoutError as error:
            raise SendFailed(
                f"{self.name} did not answer in {SEND_TIMEOUT_S:g} s", is_sent_maybe=True
            ) from error
        except (
            Exception
        ) as error:  # an adapter's own mistake is one failed attempt, not the end of the worker
            raise SendFailed(f"{self.name}: {type(error).__name__}", is_sent_maybe=True) from error

    def dismiss(self, origin: Origin, text: str) -> None:
        """End a command that waits for its answer and gets none; kept nowhere, seen by that person alone."""
        if origin.answer_by and len(self._dismissing) < _MANY:
            message = Outgoing(text, chat=origin.chat, answer_by=origin.answer_by, is_for_asker=True)
            task = asyncio.ensure_future(self._dismiss(message))
            self._dismissing.add(task)
            task.add_done_callback(self._dismissing.discard)

    async def _dismiss(self, message: Outgoing) -> None:
        for pause in _PAUSES_S:  # the platform may not have heard yet that an answer will come
            await asyncio.sleep(pause)
            try:
                await self.send(message)
                return
            except DeliveryError as error:
                _log.debug("a command could not be dismissed: %s", error)

    @asynccontextmanager
    async def typing(self, chat: ChatKey) -> AsyncIterator[None]:
        """Show that the bot is typing for as long as this lasts, where the platform can."""
        task = asyncio.ensure_future(self._type(chat))  # a TaskGroup would wrap what the body raises
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _type(self, chat: ChatKey) -> None:
        await asyncio.sleep(_TYPING_AFTER_S)
        while isinstance(self.adapter, ShowsTyping) and self.adapter.caps.typing:
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self.adapter.typing(chat)
            except Exception as error:  # a sign of typing is worth no trouble
                _log.debug("typing failed: %s", type(error).__name__)
            await asyncio.sleep(0.8 * self.limits.typing_s)
