"""Whatever happens in whatever order, each message is answered once, in order, and nothing breaks."""

import asyncio
import logging
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Stage

from bots import schema
from bots.database import Database
from bots.errors import RetryAfter, SendFailed
from bots.messages import ChatKey, Command, Deleted, Edited, Event, Incoming, Moved, Presence, Reaction
from bots.options import DatabaseSettings
from bots.outbox import outbox_row
from bots.records import Draft
from bots.testing.brains import EchoBrain

CHATS, USERS, GROUP = range(3), ("ann", "bo"), 2
COMMANDS = (
    "start",
    "help",
    "reset",
    "retry",
    "undo",
    "why",
    "settings",
    "export",
    "forget",
    "privacy",
    "owl",
)
FAILURES = {
    "lost": SendFailed("lost", is_sent_maybe=True),
    "pause": RetryAfter(0.01),
    "mistake": RuntimeError("?"),
}
chats, users, which = st.sampled_from(CHATS), st.sampled_from(USERS), st.integers(0, 40)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("say"), chats, users),
        st.tuples(st.just("say"), chats, users),  # more of it
        st.tuples(st.just("command"), chats, users, st.sampled_from(COMMANDS)),
        st.tuples(st.sampled_from(["edit", "delete", "again", "react"]), which),
        st.tuples(st.sampled_from(["move", "away"]), chats),
        st.tuples(st.sampled_from(["restart", "kill", "crash", "wait"])),
        st.tuples(st.just("fail"), st.sampled_from(sorted(FAILURES))),
    ),
    min_size=5,
    max_size=40,
)


@dataclass(slots=True)
class Play:
    """One run of actions, and what must have come of it."""

    stage: Stage
    places: dict[int, str] = field(default_factory=lambda: {chat: str(chat) for chat in CHATS})
    told: list[tuple[int, str, Event]] = field(default_factory=list)  # chat, user, event that wants an answer
    excused: set[str] = field(default_factory=set)  # keys of those that may go unanswered
    service: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        await self.service.enter_async_context(self.stage.running())

    async def do(self, action: tuple[object, ...]) -> None:
        """One action; edits and the like of what was never said do nothing."""
        name, *rest = action
        await getattr(self, f"_{name}")(*rest)

    async def _say(self, chat: int, user: str) -> None:
        origin = self._origin(chat, user)
        await self._tell(chat, user, Incoming(f"said {origin.key}.", origin))

    async def _command(self, chat: int, user: str, name: str) -> None:
        if name == "forget":
            self.excused |= {event.origin.key for _, who, event in self.told if who == user}
        await self._tell(chat, user, Command(name, "", self._origin(chat, user)))

    async def _edit(self, number: int) -> None:
        for chat, user, event in self.told[number : number + 1]:
            origin = self._origin(chat, user, message_id=event.origin.message_id)
            await self.stage.put(Edited(f"said {event.origin.key}. edited", origin))

    async def _delete(self, number: int) -> None:
        for chat, user, event in self.told[number : number + 1]:
            self.excused.add(event.origin.key)
            await self.stage.put(Deleted((event.origin.message_id,), self._origin(chat, user, message_id="")))

    async def _again(self, number: int) -> None:
        for _, _, event in self.told[number : number + 1]:
            await self.stage.put(event, event)

    async def _react(self, number: int) -> None:
        for chat, user, _ in self.told[number : number + 1]:
            origin = self._origin(chat, user, message_id="")
            await self.stage.put(Reaction(f"b{number}", ("👍",), (), origin))

    async def _move(self, chat: int) -> None:
        origin = self._origin(chat, "ann", message_id="")
        self.places[chat] = f"{chat}, moved" if ", moved" not in self.places[chat] else str(chat)
        await self.stage.put(Moved(ChatKey("stage", "bot", self.places[chat]), origin))

    async def _away(self, chat: int) -> None:
        self.excused |= {event.origin.key for place, _, event in self.told if place == chat}
        await self.stage.put(Presence(False, self._origin(chat, "ann", message_id="")))

    async def _restart(self) -> None:
        await self.service.aclose()
        await self.start()

    async def _kill(self) -> None:
        self.stage.is_killed = True
        await self._restart()

    async def _crash(self) -> None:
        self.stage.crash.append(RuntimeError("?"))  # at the next start
        await self._restart()

    async def _wait(self) -> None:
        await asyncio.sleep(0.01)

    async def _fail(self, kind: str) -> None:
        self.stage.failures.append(FAILURES[kind])

    def _origin(self, chat: int, user: str, **more: str) -> object:
        return self.stage.origin(self.places[chat], user, is_private=chat != GROUP, **more)

    async def _tell(self, chat: int, user: str, event: Event) -> None:
        self.told.append((chat, user, event))
        await self.stage.put(event)

    async def quiet(self) -> None:
        """Wait until nothing is left to do."""
        await self.stage.until_rows(
            "SELECT (SELECT count(*) FROM inbox WHERE state = 'waiting'),"
            " (SELECT count(*) FROM outbox WHERE state IN ('waiting', 'sending'))",
            [(0, 0)],
        )

    async def check(self) -> None:
        """All promises."""
        nonces = [message.nonce for message in self.stage.sent]
        texts = [message.text for message in self.stage.sent]
        for chat in CHATS:
            mine = [event for place, _, event in self.told if place == chat]
            answered = [nonce_of(event.origin.key) for event in mine]
            for event, nonce in zip(mine, answered, strict=True):
                num = nonces.count(nonce)
                assert num == 1 or (num == 0 and event.origin.key in self.excused), event
                said = f"re: said {event.origin.key}."
                assert sum(text.startswith(said) for text in texts) <= 1, event
            places = [nonces.index(nonce) for nonce in answered if nonce in nonces]
            assert places == sorted(places), f"chat {chat} is out of order"
        turns = await self.stage.rows("SELECT inbox_id, is_bot FROM turns WHERE is_live ORDER BY chat_id, id")
        assert [one[0] for one in turns[::2]] == [one[0] for one in turns[1::2]]
        assert [bool(one[1]) for one in turns] == [False, True] * (len(turns) // 2)
        assert await self.stage.rows("SELECT key FROM inbox WHERE state = 'dead'") == []


def nonce_of(key: str) -> str:
    """Of the first message of an answer."""
    return str(outbox_row(0, f"stage/bot/{key}", 0, Draft("x"), 0.0)["nonce"])


async def played(folder: Path, script: list[tuple[object, ...]]) -> None:
    play = Play(Stage(folder, EchoBrain(0.002)))
    await play.start()
    try:
        for action in script:
            await play.do(action)
        await play.quiet()
    finally:
        await play.service.aclose()
    await play.check()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables and nothing in them; making one takes longer than a play."""
    file = tmp_path_factory.mktemp("empty") / "banter.db"

    async def make() -> None:
        database = Database(DatabaseSettings(path=str(file)))
        await schema.migrate(database)
        await database.close()

    asyncio.run(make())
    return file


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=actions)
def test_whatever_happens_each_message_is_answered_once_and_in_order(
    script: list[tuple[object, ...]], empty: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(empty, Path(folder) / "banter.db")
        asyncio.run(played(Path(folder), script))
    broken = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert [one for one in broken if one != "stage crashed"] == []
