"""Accept, commit, then let the platform know: what a person wrote is kept before anything else happens."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, case, func, select, update

from bots import happenings
from bots.batching import Batcher
from bots.database import Database, any_of, insert_missing
from bots.errors import Busy
from bots.gates import Gate, Verdict
from bots.messages import (
    ChatKey,
    Command,
    Edited,
    Event,
    Incoming,
    MessageRef,
    Moved,
    Origin,
    Presence,
    Request,
)
from bots.options import RunSettings
from bots.outbox import NOT_HERE, NOT_NOW, notices
from bots.tables import chats, inbox, outbox

_MAX_KEYS = 500  # in one query
_COUNT_EVERY_S = 0.5


_KNOWN = select(inbox.c.key).where(
    inbox.c.adapter == bindparam("adapter"), inbox.c.bot == bindparam("bot"), inbox.c.key.in_(any_of("ids"))
)
_NUM_WAITING = (
    select(func.count())
    .select_from(inbox)
    .where(inbox.c.chat_id == chats.c.id, inbox.c.state == "waiting")
    .scalar_subquery()
)
_FOUND = (
    select(chats.c.id, chats.c.chat, chats.c.thread, chats.c.settings, _NUM_WAITING.label("num_waiting"))
    .where(
        chats.c.adapter == bindparam("adapter"),
        chats.c.bot == bindparam("bot"),
        chats.c.chat.in_(any_of("ids")),
    )
    .order_by(chats.c.id)
    .with_for_update(of=chats)
)
_NEWEST: BindParameter[str] = bindparam("newest")
_TOUCH = (
    update(chats)
    .where(chats.c.id == bindparam("chat_row"))
    .values(
        due_at=func.coalesce(chats.c.due_at, bindparam("now")),
        is_gone=False,
        last_message=case((_NEWEST == "", chats.c.last_message), else_=_NEWEST),
    )
)


@dataclass(frozen=True, slots=True)
class Found:
    """What accepting needs to know of a chat."""

    id: int
    chattiness: float
    num_waiting: int = 0


class Inbox:
    """The durable queue of events; `accept` returns after the commit.

    Whatever arrives while one batch is written is written together as the next one.
    """

    def __init__(
        self,
        database: Database,
        gate: Gate,
        settings: RunSettings,
        wake: Callable[[], None],
        seed: int | None = None,
    ) -> None:
        """`wake` is called after each commit; with a `seed` each event's own is made from it and its key."""
        self.dismiss: Callable[[Origin, str], None] = lambda origin, text: None  # told what gets no answer
        self._database, self._gate, self._settings = database, gate, settings
        self._wake, self._seed = wake, seed
        self._batcher = Batcher(self._write)
        self._is_open = True
        self._num_waiting, self._counted_at = 0, 0.0

    async def run(self) -> None:
        """Write what is accepted, until cancelled."""
        await self._batcher.run()

    def close(self) -> None:
        """From now on everything is Busy: platforms keep what they have."""
        self._is_open = False

    async def accept(self, events: Sequence[Event]) -> None:
        """Keep events; those with known keys, or from whom the lists keep out, are passed over.

        Raises:
            Busy: too much is waiting, or the program is stopping.
        """
        for event in events:
            assert event.origin.key, f"{type(event).__name__} has no key"
        if not self._is_open:
            raise Busy("stopping")
        let_in = [event for event in events if self._gate.lets_in(event.origin)]
        for event in events if len(let_in) < len(events) else ():
            if event not in let_in:
                self.dismiss(event.origin, NOT_HERE)
        if let_in:
            await self._batcher.add(let_in)
            self._wake()

    async def last_seen(self, adapter: str, bot: str) -> Sequence[MessageRef]:
        """The newest accepted message of each live chat."""
        query = select(chats).where(
            chats.c.adapter == adapter, chats.c.bot == bot, ~chats.c.is_gone, chats.c.last_message != ""
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            MessageRef(ChatKey(row.adapter, row.bot, row.chat, row.thread), row.last_message) for row in rows
        ]

    async def _write(self, offers: Sequence[Sequence[Event]]) -> Sequence[None]:
        now = time.time()
        events = {
            (one.origin.chat.adapter, one.origin.chat.bot, one.origin.key): one
            for offer in offers
            for one in offer
        }

        def write(connection: Connection) -> list[Origin]:
            self._refuse_when_full(connection, len(events), now)
            fresh = _unknown(connection, events)
            moves = [event for event in fresh if isinstance(event, Presence | Moved)]
            requests = [event for event in fresh if isinstance(event, Request)]
            rest = [event for event in fresh if not isinstance(event, Presence | Moved | Request | Edited)]
            happenings.note(connection, moves, now)
            refused = self._keep(connection, requests, now) if requests else []
            edits = [event for event in fresh if isinstance(event, Edited)]
            happenings.note(connection, [*self._heard(connection, edits, now), *rest], now)
            return refused

        for origin in await self._database.write(write):
            self.dismiss(origin, NOT_NOW)
        return [None] * len(offers)

    def _refuse_when_full(self, connection: Connection, num_new: int, now: float) -> None:
        """Counted now and then; in between, what came in is added up."""
        if now - self._counted_at > _COUNT_EVERY_S or self._num_waiting >= self._settings.max_waiting:
            query = select(func.count()).select_from(inbox).where(inbox.c.state == "waiting")
            self._num_waiting, self._counted_at = connection.execute(query).scalar() or 0, now
        if self._num_waiting >= self._settings.max_waiting:
            raise Busy
        self._num_waiting += num_new

    def _keep(self, connection: Connection, requests: Sequence[Request], now: float) -> list[Origin]:
        """Write them; those that are refused without a notice."""
        known = _chats(connection, {event.origin.chat for event in requests})
        wanted = [event for event in requests if self._is_wanted(event, known.get(event.origin.chat))]
        if missing := [event.origin for event in wanted if event.origin.chat not in known]:
            known |= _new_chats(connection, missing)
        if not wanted:
            return []
        taken: dict[ChatKey, int] = {}
        asked = []
        for event in wanted:
            key = event.origin.chat
            taken[key] = taken.get(key, known[key].num_waiting) + 1
            has_room = taken[key] <= self._settings.max_waiting_per_chat
            asked.append((event.origin, known[key].id, has_room))
        judged = list(zip(wanted, self._judge(connection, asked, now), strict=True))
        rows = [self._row(event, known[event.origin.chat].id, verdict, now) for event, verdict in judged]
        insert_missing(connection, inbox, rows)
        _touch(connection, wanted, known, now)
        return [event.origin for event, verdict in judged if verdict in ("refused", "chat told")]

    def _heard(self, connection: Connection, edits: Sequence[Edited], now: float) -> list[Edited]:
        """Edits that change what waits; they count as messages do."""
        changing = happenings.changing(connection, edits)
        asked = [(event.origin, chat_id, True) for event, chat_id in changing]
        verdicts = self._judge(connection, asked, now)
        return [event for (event, _), one in zip(changing, verdicts, strict=True) if one == "heard"]

    def _judge(
        self, connection: Connection, asked: Sequence[tuple[Origin, int, bool]], now: float
    ) -> list[Verdict]:
        """Count them, each with its chat's row and whether there is room, and give notice where it is due."""
        verdicts = self._gate.take(connection, [(origin, room) for origin, _, room in asked], now)
        told = [(*one[:2], verdict) for one, verdict in zip(asked, verdicts, strict=True)]
        insert_missing(connection, outbox, notices(told, now))
        return verdicts

    def _is_wanted(self, event: Request, chat: Found | None) -> bool:
        """What nobody asked the bot, in a chat where it never speaks unasked, is not even stored."""
        if isinstance(event, Command) or event.is_addressed:
            return True
        return (chat.chattiness if chat and chat.chattiness >= 0 else self._settings.chattiness) > 0

    def _row(self, event: Request, chat_id: int, verdict: Verdict, now: float) -> dict[str, Any]:
        origin, is_heard = event.origin, verdict == "heard"
        said = event.text if isinstance(event, Incoming) else event.argument
        return {
            "adapter": origin.chat.adapter,
            "bot": origin.chat.bot,
            "key": origin.key,
            "chat_id": chat_id,
            "state": "waiting" if is_heard else "refused",
            "command": event.name if isinstance(event, Command) else "",
            "text": said if is_heard else "",
            "user_id": origin.user.id,
            "user_name": origin.user.name,
            "message_id": origin.message_id,
            "answer_by": origin.answer_by if is_heard else "",
            "is_addressed": isinstance(event, Command) or event.is_addressed,
            "said_at": origin.when.timestamp(),
            "received_at": now,
            "due_at": now,
            "attempts": 0,
            "edits": 0,
            "seed": self._seed_for(origin),
            "error": "",
        }

    def _seed_for(self, origin: Origin) -> int:
        if self._seed is None:
            return secrets.randbits(32)
        digest = blake2b(f"{self._seed}/{origin.chat}/{origin.key}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big")


def _unknown(connection: Connection, events: Mapping[tuple[str, str, str], Event]) -> list[Event]:
    """The events whose keys are new, in order."""
    known: set[tuple[str, str, str]] = set()
    keys = list(events)
    for adapter, bot in {key[:2] for key in keys}:
        mine = [key[2] for key in keys if key[:2] == (adapter, bot)]
        for start in range(0, len(mine), _MAX_KEYS):
            some = {"adapter": adapter, "bot": bot, "ids": mine[start : start + _MAX_KEYS]}
            known |= {(adapter, bot, key) for key in connection.execute(_KNOWN, some).scalars()}
    return [event for key, event in events.items() if key not in known]


def _chats(connection: Connection, keys: Iterable[ChatKey]) -> dict[ChatKey, Found]:
    """The rows of chats, locked where the database locks rows; -1 for a chattiness that was not set."""
    found: dict[ChatKey, Found] = {}
    wanted = list(keys)
    for adapter, bot in {(key.adapter, key.bot) for key in wanted}:
        ids = sorted({key.chat for key in wanted if (key.adapter, key.bot) == (adapter, bot)})
        for row in connection.execute(_FOUND, {"adapter": adapter, "bot": bot, "ids": ids}):
            chattiness = row.settings.get("chattiness", -1)
            found[ChatKey(adapter, bot, row.chat, row.thread)] = Found(row.id, chattiness, row.num_waiting)
    return found


def _new_chats(connection: Connection, origins: Sequence[Origin]) -> dict[ChatKey, Found]:
    rows = [
        {
            "adapter": origin.chat.adapter,
            "bot": origin.chat.bot,
            "chat": origin.chat.chat,
            "thread": origin.chat.thread,
            "guild": origin.guild,
            "is_private": origin.is_private,
            "is_gone": False,
            "persona": "",
            "settings": {},
            "last_message": "",
            "lease_until": 0.0,
            "epoch": 0,
        }
        for origin in origins
    ]
    insert_missing(connection, chats, rows)
    return _chats(connection, {origin.chat for origin in origins})


def _touch(
    connection: Connection, events: Sequence[Request], known: Mapping[ChatKey, Found], now: float
) -> None:
    """Chats in which something waits now are due, and whoever writes is not gone."""
    newest: dict[int, str] = {}
    for event in events:
        chat_id = known[event.origin.chat].id
        newest[chat_id] = event.origin.message_id or newest.get(chat_id, "")
    rows = [{"chat_row": chat_id, "newest": last, "now": now} for chat_id, last in sorted(newest.items())]
    connection.execute(_TOUCH, rows)
