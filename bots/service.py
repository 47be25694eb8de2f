"""`banter run`: each adapter supervised on its own, one inbox, one set of workers, an orderly end."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from bots import claims, orders, registry, schema
from bots.abilities import PublishesCommands
from bots.answering import Answerer
from bots.asking import House
from bots.cast import Cast
from bots.chat import Speaker
from bots.database import Database
from bots.delivery import Delivery
from bots.errors import AdapterError, AdapterUnauthorized, BotError, SettingsError
from bots.gates import Gate
from bots.gifs import Gifs
from bots.inbox import Inbox
from bots.ledger import Ledger
from bots.messages import Adapter, Event, Health, MessageRef, Origin
from bots.outlet import Outlet
from bots.sections import misshapen, secrets
from bots.settings import Settings
from bots.workers import Workers
from brain.persona import Persona

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _STEADY_S = 1.0, 60.0, 60.0
_SAME_SIGNAL_S = 0.5  # a program that started us and the terminal may both pass on one Ctrl-C
_CLOSE_S = 1.5  # for adapters to end once nothing is being answered any more
_CLOSE_LEAST_S, _CLOSED_AFTER_S = 0.3, 6.5  # whoever stopped us waits no longer than 8 s, and cannot be late
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enabled:
    """One adapter to run: its class and its valid Config."""

    kind: type[Adapter]
    config: BaseModel


def enabled(settings: Settings, only: Sequence[str] = ()) -> list[Enabled]:
    """The adapters that config.toml enables, or those that are named.

    Raises:
        SettingsError: none is enabled, or one is not configured well.
        AdapterMissing: one that is named or enabled is not installed.
    """
    names = only or [name for name, section in settings.adapters.items() if section.is_enabled]
    if not names:
        raise SettingsError(
            "no chat platform is enabled; run `banter init`, or set enabled = true in its section"
        )
    found = []
    for name in names:
        kind = registry.load(name)
        found.append(Enabled(kind, settings.adapters[name].config(kind.Config)))
    return found


def secrets_of(settings: Settings, adapters: Sequence[Enabled]) -> list[str]:
    """All that must never be logged."""
    values = [settings.database.url, settings.gifs.api_key]
    values += [getattr(one.config, name) for one in adapters for name in secrets(one.kind.Config)]
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


class InboxSink:
    """One adapter's door to the inbox."""

    def __init__(self, inbox: Inbox, adapter: str, report: Callable[[Any], None]) -> None:
        self._inbox, self._adapter, self.report = inbox, adapter, report

    async def accept(self, *events: Event) -> None:
        """Return after the commit of all."""
        for event in events:
            assert event.origin.chat.adapter == self._adapter, "an event of another adapter"
        await self._inbox.accept(events)

    async def last_seen(self, bot: str) -> Sequence[MessageRef]:
        """As the inbox knows it."""
        return await self._inbox.last_seen(self._adapter, bot)


class Service:
    """The parts of `banter run`, wired."""

    def __init__(
        self, brain: Speaker, cast: Cast, persona: Persona, settings: Settings, adapters: Sequence[Enabled]
    ) -> None:
        self._settings, self._adapters, self._cast = settings, adapters, cast
        self._database = Database(settings.database)
        gate, run = Gate(settings.gates), settings.run
        house = House(self._database, cast, gate, persona, run.chattiness, brain)
        self._ledger = Ledger(self._database)
        delivery = Delivery(self._ledger, run, Gifs(settings.gifs).find)
        self._workers = Workers(
            self._database, self._ledger, Answerer(brain, house, run, settings.gifs), delivery, run
        )
        self._inbox = Inbox(self._database, gate, run, self._workers.wake, settings.seed)
        self._outlets = {one.kind.name: _outlet(one) for one in adapters}
        self._workers.outlets = self._outlets
        self._inbox.dismiss = self._dismiss
        self._workers.num_turns = max(settings.brain.max_turns, 2 * settings.brain.checks.echo_turns) + 1
        self._ending, self._asked_at = asyncio.Event(), 0.0
        self._final: list[AdapterError] = []

    async def run(self) -> None:
        """Until a signal, or until no adapter is left.

        Raises:
            AdapterUnauthorized: every adapter ended so.
            DatabaseError.
        """
        with schema.only_one(self._database):
            try:
                await self._prepare()
                with _on_signals(self.stop):
                    await self._work()
            finally:
                await self._database.close()
        if self._final and len(self._final) == len(self._adapters):
            raise self._final[0]

    async def _prepare(self) -> None:
        if backup := await schema.migrate(self._database):
            _log.info("the database was brought up to date", extra={"backup": str(backup)})
        _log.info("%s", self._cast.summary())
        if self._database.is_sqlite:  # whoever held these is gone
            await claims.release_all(self._database)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            writing = [group.create_task(self._ledger.run()), group.create_task(self._inbox.run())]
            working = group.create_task(self._workers.run())
            adapters = [group.create_task(self._supervise(one)) for one in self._adapters]
            ended = group.create_task(_end_of(self._ending))
            await asyncio.wait(
                [ended, group.create_task(_all(adapters))], return_when=asyncio.FIRST_COMPLETED
            )
            _log.info("stopping")
            self._inbox.close()
            await self._workers.drain(self._settings.run.drain_s)
            working.cancel()
            await asyncio.wait([working])
            for task in adapters:
                task.cancel()
            await asyncio.wait(adapters, timeout=self._left_to_close())
            await self._workers.give_back()
            for task in (*writing, ended):
                task.cancel()
        _log.info("stopped")

    def _dismiss(self, origin: Origin, text: str) -> None:
        if outlet := self._outlets.get(origin.chat.adapter):
            outlet.dismiss(origin, text)

    def _left_to_close(self) -> float:
        """Seconds for the adapters; what was answered slowly leaves less of them."""
        if not self._ending.is_set():
            return _CLOSE_S
        return max(_CLOSE_LEAST_S, min(_CLOSE_S, self._asked_at + _CLOSED_AFTER_S - time.monotonic()))

    def stop(self) -> None:
        """The first signal ends in order, a later one at once: what was accepted is safe either way."""
        if not self._ending.is_set():
            self._ending.set()
            self._asked_at = time.monotonic()
        elif time.monotonic() - self._asked_at > _SAME_SIGNAL_S:
            os._exit(130)

    async def _supervise(self, one: Enabled) -> None:
        """Run one adapter, again and again with growing pauses, until it is done for good."""
        outlet, pause = self._outlets[one.kind.name], _FIRST_PAUSE_S
        for complaint in misshapen(one.config):
            _log.warning("%s: %s", outlet.name, complaint)
        sink = InboxSink(self._inbox, one.kind.name, outlet.report)
        while True:
            started = time.monotonic()
            try:
                await self._run(one, outlet, sink)
                _log.info("%s has ended", outlet.name)
                return
            except AdapterUnauthorized as error:
                outlet.report(Health("degraded", str(error)))
                _log.error(
                    "%s is out until somebody changes something", outlet.name, extra={"reason": str(error)}
                )
                self._final.append(error)
                return
            except Exception as error:  # one adapter's mistake never stops the others
                if time.monotonic() - started > _STEADY_S:
                    pause = _FIRST_PAUSE_S
                why = str(error) if isinstance(error, BotError) else type(error).__name__
                outlet.report(Health("degraded", why))
                _log.error("%s crashed", outlet.name, extra={"reason": why, "retry_s": pause})
                _log.debug("the crash", exc_info=error)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, 2 * pause)

    async def _run(self, one: Enabled, outlet: Outlet, sink: InboxSink) -> None:
        adapter = one.kind(one.config)
        if isinstance(adapter, PublishesCommands) and adapter.caps.publish_commands:
            await adapter.publish_commands(orders.usages(self._cast.slugs()))
        outlet.adapter = adapter
        self._workers.wake()
        try:
            await adapter.run(sink)
            await self._workers.finish(outlet.name)  # a pipe that ended still gets its answers
        finally:
            outlet.adapter = None


async def _end_of(event: asyncio.Event) -> None:
    await event.wait()


async def _all(tasks: Sequence["asyncio.Task[None]"]) -> None:
    await asyncio.wait(tasks)


def _outlet(one: Enabled) -> Outlet:
    adapter = one.kind(one.config)
    return Outlet(adapter.name, adapter.limits, drops_repeats=adapter.caps.nonce)


@contextmanager
def _on_signals(act: Callable[[], None]) -> Iterator[None]:
    loop, kinds = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for kind in kinds:
        try:
            loop.add_signal_handler(kind, act)
        except NotImplementedError:  # Windows
            signal.signal(kind, lambda *_: loop.call_soon_threadsafe(act))
    try:
        yield
    finally:
        for kind in kinds:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(kind)
