"""The whole of `banter run` in this process: a fake platform, a brain without weights, a database on disk."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, SecretStr
from sqlalchemy import text

from bots.cast import Cast
from bots.chat import Speaker
from bots.database import Database
from bots.messages import (
    API_VERSION,
    Caps,
    ChatKey,
    Event,
    Health,
    Limits,
    MessageRef,
    Origin,
    Outgoing,
    Sink,
    User,
)
from bots.options import DatabaseSettings
from bots.service import Enabled, Service
from bots.settings import Settings
from bots.testing.brains import EchoBrain
from bots.testing.fakes import FakeConfig
from brain.config import BrainConfig
from brain.persona import Persona

ODILE = Persona("Odile", "odile", greeting="Come in.", fallback=("Go on.",))
TIMEOUT_S = 20.0
QUIET = {"run": {"stale_after_s": 0.0, "merge_above": 0}, "gates": {"person_burst": 0, "chat_burst": 0}}


class StageAdapter:
    """Says what a test puts into it, and keeps what is sent."""

    name: ClassVar[str] = "stage"
    api_version: ClassVar[int] = API_VERSION
    Config: ClassVar[type[BaseModel]] = FakeConfig
    caps = Caps(typing=True, nonce=True, media=True, documents=True)
    limits = Limits(max_len=2000)

    def __init__(self, config: BaseModel, stage: "Stage") -> None:
        self._stage = stage

    async def run(self, sink: Sink) -> None:
        """Be there until cancelled."""
        if self._stage.crash:
            raise self._stage.crash.pop()
        self._stage.sink = sink
        sink.report(Health("connected"))
        self._stage.news.set()
        await asyncio.Event().wait()

    async def send(self, message: Outgoing) -> MessageRef:
        """Fail as the test wants, else keep it once per nonce."""
        if self._stage.failures:
            failure = self._stage.failures.pop(0)
            if failure is not None:
                raise failure
        if message.nonce not in {sent.nonce for sent in self._stage.sent}:
            self._stage.sent.append(message)
        self._stage.news.set()
        return MessageRef(message.chat, f"b{len(self._stage.sent)}")

    async def typing(self, chat: ChatKey) -> None:
        """Count it."""
        self._stage.num_typed += 1


@dataclass(slots=True)
class Stage:
    """A running service, seen from a test."""

    folder: Path
    brain: Speaker = field(default_factory=EchoBrain)
    settings: Mapping[str, Any] = field(default_factory=dict)
    sent: list[Outgoing] = field(default_factory=list)
    failures: list[Exception | None] = field(default_factory=list)  # of the next sends
    crash: list[Exception] = field(default_factory=list)  # of the next runs
    num_typed: int = 0
    sink: Sink | None = None
    database: DatabaseSettings | None = None  # None = SQLite in the folder
    kind: type[StageAdapter] = StageAdapter
    is_killed: bool = False  # end the next time at once, with nothing put in order
    news: asyncio.Event = field(default_factory=asyncio.Event)
    _num_said: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Stage"]:
        """Start, and end in order; may be done again, with the same database."""
        self.sink = None
        stage = self

        class Adapter(self.kind):  # type: ignore[name-defined, misc]
            def __init__(self, config: BaseModel) -> None:
                super().__init__(config, stage)

        service = Service(
            self.brain,
            Cast(self.folder, BrainConfig()),
            ODILE,
            self._settings(),
            [Enabled(Adapter, FakeConfig(token=SecretStr("canary")))],
        )
        task = asyncio.ensure_future(service.run())
        try:
            await self.until(lambda: self.sink is not None or task.done())
            yield self
        finally:
            if self.is_killed:
                self.is_killed = False
                task.cancel()
                await asyncio.wait([task], timeout=TIMEOUT_S)
            else:
                service.stop()
                await asyncio.wait_for(task, TIMEOUT_S)

    def _settings(self) -> Settings:
        given = {
            name: {**QUIET.get(name, {}), **self.settings.get(name, {})} for name in {*QUIET, *self.settings}
        }
        return Settings(database=self._database(), **given)

    def _database(self) -> DatabaseSettings:
        return self.database or DatabaseSettings(path=str(self.folder / "banter.db"))

    def origin(self, chat: str = "1", user: str = "ann", *, is_private: bool = True, **more: Any) -> Origin:
        """Where and when something happens; a new key each time."""
        self._num_said += 1
        values = {"key": f"k{self._num_said}", "message_id": f"m{self._num_said}", "when": datetime.now(UTC)}
        place = ChatKey("stage", "bot", chat)
        return Origin(chat=place, user=User(user, user.title()), is_private=is_private, **{**values, **more})

    async def put(self, *events: Event) -> None:
        """The platform tells of something."""
        assert self.sink is not None
        await self.sink.accept(*events)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(TIMEOUT_S):
            while not is_so():
                self.news.clear()
                await asyncio.wait([asyncio.ensure_future(self.news.wait())], timeout=0.02)

    async def answers(self, number: int) -> list[str]:
        """Texts of the messages sent, once there are so many."""
        await self.until(lambda: len(self.sent) >= number)
        return [message.text for message in self.sent]

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says."""
        database = Database(self._database())
        try:
            return await database.read(lambda found: [tuple(row) for row in found.execute(text(query))])
        finally:
            await database.close()

    async def until_rows(self, query: str, expected: list[tuple[Any, ...]]) -> None:
        """Wait until the database says so."""
        for _ in range(int(TIMEOUT_S / 0.05)):
            if await self.rows(query) == expected:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(await self.rows(query))


MakeStage = Callable[..., Stage]
