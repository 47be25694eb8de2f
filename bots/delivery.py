"""What stands in the outbox goes out: in order within a chat, paced, each message marked once it is sent."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import NamedTuple

from bots.claims import Claim
from bots.errors import ChatGone, DeliveryError, RetryAfter, SendRefused
from bots.happenings import leave
from bots.ledger import Ledger, Step
from bots.messages import Outgoing
from bots.options import RunSettings
from bots.outbox import Mark, Unsent
from bots.outlet import Outlet

FindGif = Callable[[str], Awaitable[str]]
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0
_LONG_WAIT_S = 1.0  # after it the claim is looked at again before sending
_log = logging.getLogger(__name__)


class _Outcome(NamedTuple):
    mark: Mark
    goes_on: bool  # with the next message of the chat
    is_gone: bool = False


class Delivery:
    """Sends for claimed chats. A crash between a send and its mark repeats that one message at most."""

    def __init__(self, ledger: Ledger, settings: RunSettings, find_gif: FindGif | None = None) -> None:
        """`find_gif` gives the address of a picture for some words, or nothing."""
        self._ledger, self._settings, self._find_gif = ledger, settings, find_gif

    async def deliver(self, claim: Claim, outlet: Outlet, unsent: Sequence[Unsent], is_last: bool) -> bool:
        """Send in order until one has to wait; with `is_last` the chat is given back with the last mark.

        Returns:
            Whether all went out and the claim still holds; if not, the chat was given back already.
        """
        for place, message in enumerate(unsent):
            if message.due_at > time.time():
                await self._ledger.write(Step(claim, is_last=True))
                return False
            if not await self._is_ours(claim, outlet, message):
                return False
            outgoing = await self._outgoing(claim, message)
            async with _slot(outlet, outgoing):
                outcome = await self._send(claim, outlet, message, outgoing)
                ends = not outcome.goes_on or (is_last and place == len(unsent) - 1)
                effects = (lambda connection: leave(connection, claim.chat_id),) if outcome.is_gone else ()
                step = Step(claim, marks=(outcome.mark,), effects=effects, is_last=ends)
                if not await self._ledger.write(step) or not outcome.goes_on:
                    return False
        if is_last and not unsent:
            await self._ledger.write(Step(claim, is_last=True))
        return True

    async def _is_ours(self, claim: Claim, outlet: Outlet, message: Unsent) -> bool:
        """Wait for the message's moment; note that it is being sent where that is worth a transaction."""
        pause = outlet.pacer.reserve(claim.key, claim.is_private)
        await asyncio.sleep(pause)
        if pause < _LONG_WAIT_S and self._settings.on_unsure == "resend":
            return True
        mark = Mark(message.nonce, "sending", attempts=message.attempts, due_at=message.due_at)
        return await self._ledger.write(Step(claim, marks=(mark,)))

    async def _outgoing(self, claim: Claim, message: Unsent) -> Outgoing | None:
        """What the adapter gets, the picture found; None when there is none."""
        outgoing = message.draft.outgoing(claim.key, message.nonce)
        if not message.draft.gif:
            return outgoing
        address = await self._find_gif(message.draft.gif) if self._find_gif else ""
        return replace(outgoing, media_url=address) if address else None

    async def _send(
        self, claim: Claim, outlet: Outlet, message: Unsent, outgoing: Outgoing | None
    ) -> _Outcome:
        if message.is_maybe_sent and self._settings.on_unsure == "skip":
            return _Outcome(_dead(message, "it may have been sent before"), True)
        if outgoing is None:
            return _Outcome(_dead(message, "no picture"), True)
        try:
            ref = await outlet.send(outgoing)
        except DeliveryError as error:
            return self._failed(claim, outlet, message, error)
        _log.debug("sent", extra={"message_id": ref.id})
        return _Outcome(Mark(message.nonce, "sent", ref.id, message.attempts), True)

    def _failed(self, claim: Claim, outlet: Outlet, message: Unsent, error: DeliveryError) -> _Outcome:
        now, why = time.time(), str(error)
        if isinstance(error, ChatGone):
            _log.info("the chat is gone", extra={"reason": why})
            return _Outcome(_dead(message, why), False, is_gone=True)
        if isinstance(error, SendRefused):
            _log.error("a message was refused", extra={"reason": why})
            return _Outcome(_dead(message, why), True)
        if isinstance(error, RetryAfter):
            outlet.pacer.hold(None if error.is_overall else claim.key, error.seconds)
        if now - message.created_at > self._settings.send_for_s:
            _log.error("a message could not be sent", extra={"reason": why, "attempts": message.attempts})
            return _Outcome(_dead(message, why), True)
        if isinstance(error, RetryAfter):
            return _Outcome(_again(message, now + error.seconds, message.attempts, why), False)
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(message.attempts, 10))
        _log.warning("sending failed", extra={"reason": why, "retry_s": pause})
        return _Outcome(_again(message, now + pause, message.attempts + 1, why), False)


def _slot(outlet: Outlet, outgoing: Outgoing | None) -> AbstractAsyncContextManager[None]:
    """One of the few sends that may be unmarked at once; pictures and files take long and hold nobody up."""
    is_text = outgoing is not None and not outgoing.media_url and not outgoing.document
    return outlet.unmarked.place() if is_text else nullcontext()


def _dead(message: Unsent, why: str) -> Mark:
    return Mark(message.nonce, "dead", attempts=message.attempts, error=why)


def _again(message: Unsent, due_at: float, attempts: int, why: str) -> Mark:
    return Mark(message.nonce, "waiting", attempts=attempts, due_at=due_at, error=why)
