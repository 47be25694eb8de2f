"""The work itself: chats that are due are claimed, answered and freed, many at once, each by one worker."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy import func, select

from bots import claims
from bots.answering import Answerer
from bots.claims import Claim, Wish
from bots.database import Database
from bots.delivery import Delivery
from bots.errors import DatabaseError
from bots.ledger import Ledger, Step
from bots.logs import request_id
from bots.options import RunSettings
from bots.outbox import Unsent
from bots.outlet import Outlet
from bots.records import Draft
from bots.store import tidy
from bots.tables import chats

_FINISH_S = 0.05
_POLL_S = 1.0  # for what other processes left, and what is due later
_TIDY_S = 3600.0
_log = logging.getLogger(__name__)


class Workers:
    """Claims and works until told to stop; one claim per chat, so that order holds within it."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        answerer: Answerer,
        delivery: Delivery,
        settings: RunSettings,
    ) -> None:
        self._database, self._ledger = database, ledger
        ledger.on_given_back = self._given_back
        self._answerer, self._delivery, self._settings = answerer, delivery, settings
        self.outlets: Mapping[str, Outlet] = {}
        self.num_turns = 100  # of each conversation
        self._held: dict[int, int] = {}  # epochs by chat
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._is_stopping = False
        self._idle.set()

    def wake(self) -> None:
        """Something may be due now."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(self._settings.lease_s / 3, self._renew))
            group.create_task(self._every(_TIDY_S, self._tidy))
            while True:
                self._wake.clear()
                await self._claim(group)
                await self._rest()

    async def drain(self, deadline_s: float) -> None:
        """Claim nothing more; wait for what is in the making, then give back what is not done."""
        self._is_stopping = True
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("not all was answered in time; it will be after the next start")

    async def finish(self, adapter: str) -> None:
        """Wait until nothing is due any more on one platform."""
        query = select(func.count()).where(
            chats.c.adapter == adapter, chats.c.due_at.is_not(None), ~chats.c.is_gone
        )
        while await self._database.read(lambda connection: connection.execute(query).scalar()):  # noqa: ASYNC110
            await asyncio.sleep(_FINISH_S)

    async def give_back(self) -> None:
        """After the workers were cancelled: free what they held."""
        await claims.release_all(self._database, self._held)

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        free = self._settings.max_chats - len(self._held)
        up = tuple(name for name, outlet in self.outlets.items() if outlet.adapter is not None)
        if free <= 0 or not up or self._is_stopping:
            return
        try:
            claimed = await claims.claim(
                self._database, Wish(up, free, self.num_turns, self._settings.lease_s)
            )
        except DatabaseError as error:
            _log.error("%s", error)
            return
        for one in claimed:
            self._held[one.chat_id] = one.epoch
            self._idle.clear()
            group.create_task(self._work(one))
        if len(claimed) == free:
            self._wake.set()

    async def _rest(self) -> None:
        """Until something may be due: told by the inbox or by a chat given back, else found by looking."""
        try:
            async with asyncio.timeout(_POLL_S):
                await self._wake.wait()
        except TimeoutError:
            return

    def _given_back(self, due_at: float | None) -> None:
        """A chat is free again; come back when something in it is due."""
        if due_at is not None:
            pause = due_at - time.time()
            if pause < _POLL_S:
                asyncio.get_running_loop().call_later(max(0.0, pause), self._wake.set)

    async def _work(self, claim: Claim) -> None:
        request_id.set(f"{claim.chat_id}.{claim.epoch}")
        started = time.perf_counter()
        try:
            await self._answer(claim, self.outlets[claim.key.adapter])
        except Exception as error:  # the lease runs out, and the chat is claimed again
            _log.error("the work failed: %s", type(error).__name__)
            _log.debug("the failure", exc_info=error)
        finally:
            if self._held.get(claim.chat_id) == claim.epoch and not _is_cancelling():
                del self._held[claim.chat_id]
            if not self._held:
                self._idle.set()
            if len(self._held) == self._settings.max_chats - 1:  # there was no room for others
                self._wake.set()
            _log.debug("worked", extra={"seconds": round(time.perf_counter() - started, 4)})

    async def _answer(self, claim: Claim, outlet: Outlet) -> None:
        answers = bool(claim.waiting) and claim.waiting[0].due_at <= time.time()
        if claim.unsent and not await self._delivery.deliver(
            claim, outlet, claim.unsent, is_last=not answers
        ):
            return
        if not answers:
            if not claim.unsent:
                await self._ledger.write(Step(claim, is_last=True))
            return
        step = await self._step(claim, outlet)
        if await self._ledger.write(step) and step.outbox:
            rows = [_unsent(row) for row in step.outbox]
            await self._delivery.deliver(claim, outlet, rows, is_last=True)

    async def _step(self, claim: Claim, outlet: Outlet) -> Step:
        try:
            return await self._answerer.answer(claim, outlet)
        except Exception as error:  # the door named in the architecture: an attempt failed, the bot goes on
            _log.error(
                "an answer failed: %s",
                type(error).__name__,
                extra={"attempts": claim.waiting[0].attempts + 1},
            )
            _log.debug("the failure", exc_info=error)
            return self._answerer.failed(claim, error, outlet.limits)

    async def _renew(self) -> None:
        await claims.renew(self._database, dict(self._held), self._settings.lease_s)

    async def _tidy(self) -> None:
        horizon = time.time() - 86_400 * self._settings.keep_days
        await self._database.write(lambda connection: tidy(connection, horizon))

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except DatabaseError as error:
                _log.error("%s", error)


def _unsent(row: Mapping[str, object]) -> Unsent:
    payload = row["payload"]
    assert isinstance(payload, dict)
    return Unsent(str(row["nonce"]), Draft.from_json(payload), float(str(row["created_at"])), 0.0)


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
