"""Whose turn it is: a chat is claimed with all that answering needs, for as long as the lease is renewed."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from bots.database import Database, any_of
from bots.messages import ChatKey
from bots.outbox import Unsent
from bots.records import ChatSettings, Draft
from bots.tables import chats, inbox, outbox, turns
from brain.dialogue import Turn

_EDITED_WAITS_S = 60.0
_DUE = (
    select(chats)
    .where(
        chats.c.due_at <= bindparam("now"),
        chats.c.lease_until < bindparam("now"),
        chats.c.adapter.in_(any_of("adapters")),
        ~chats.c.is_gone,
    )
    .order_by(chats.c.due_at)
    .limit(bindparam("num_chats"))
    .with_for_update(skip_locked=True)
)
_LEASE = (
    update(chats)
    .where(chats.c.id.in_(any_of("ids")))
    .values(lease_until=bindparam("until"), epoch=chats.c.epoch + 1)
)
_WAITING = (
    select(inbox).where(inbox.c.chat_id.in_(any_of("ids")), inbox.c.state == "waiting").order_by(inbox.c.id)
)
_UNSENT = (
    select(outbox)
    .where(outbox.c.chat_id.in_(any_of("ids")), outbox.c.state.in_(("waiting", "sending")))
    .order_by(outbox.c.id)
)
_PLACED = (
    select(
        turns.c.id,
        turns.c.chat_id,
        turns.c.text,
        turns.c.speaker,
        func.row_number().over(partition_by=turns.c.chat_id, order_by=turns.c.id.desc()).label("place"),
    )
    .where(turns.c.chat_id.in_(any_of("ids")), turns.c.is_live)
    .subquery()
)
_NEWEST = select(_PLACED).where(_PLACED.c.place <= bindparam("number")).order_by(_PLACED.c.id)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One request that waits for its answer."""

    id: int
    key: str
    command: str
    text: str
    user_id: str
    user_name: str
    message_id: str
    answer_by: str
    is_addressed: bool
    said_at: float
    due_at: float
    attempts: int
    edits: int
    seed: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One chat, ours while its epoch is this one: what waits in it, what was said in it."""

    chat_id: int
    epoch: int
    key: ChatKey
    is_private: bool
    persona: str
    settings: ChatSettings
    waiting: tuple[Waiting, ...]  # oldest first
    unsent: tuple[Unsent, ...]
    turns: tuple[Turn, ...]  # live ones


@dataclass(frozen=True, slots=True)
class Wish:
    """What a process wants to work on."""

    adapters: tuple[str, ...]  # those that are up
    num_chats: int
    num_turns: int  # newest ones of each
    lease_s: float


async def claim(database: Database, wish: Wish) -> list[Claim]:
    """Claim the chats that have been due for longest; each is nobody else's until its lease runs out."""
    return await database.write(lambda connection: _claim(connection, wish))


def _claim(connection: Connection, wish: Wish) -> list[Claim]:
    now = time.time()
    asked = {"now": now, "adapters": wish.adapters, "num_chats": wish.num_chats}
    rows = connection.execute(_DUE, asked).all()
    if not rows:
        return []
    ids = [row.id for row in rows]
    connection.execute(_LEASE, {"ids": ids, "until": now + wish.lease_s})
    waiting = _waiting(connection, ids)
    unsent = _unsent(connection, ids)
    said = _turns(connection, ids, wish.num_turns)
    return [
        Claim(
            row.id,
            row.epoch + 1,
            ChatKey(row.adapter, row.bot, row.chat, row.thread),
            row.is_private,
            row.persona,
            ChatSettings(**row.settings),
            tuple(waiting.get(row.id, ())),
            tuple(unsent[row.id]),
            tuple(said[row.id]),
        )
        for row in rows
    ]


async def renew(database: Database, held: Mapping[int, int], lease_s: float) -> None:
    """Hold claims for longer: epochs by chat id."""
    if not held:
        return
    statement = (
        update(chats)
        .where(
            chats.c.id == bindparam("chat_row"),
            chats.c.epoch == bindparam("claimed"),
            chats.c.lease_until > 0,  # not given back meanwhile
        )
        .values(lease_until=time.time() + lease_s)
    )
    rows = [{"chat_row": chat, "claimed": epoch} for chat, epoch in held.items()]
    await database.write(lambda connection: connection.execute(statement, rows))


async def release_all(database: Database, held: Mapping[int, int] | None = None) -> None:
    """Give claims back unfinished; all there are when none are named, for the only process of a database."""
    statement = update(chats).where(chats.c.lease_until > 0).values(lease_until=0.0)
    if held is None:
        await database.write(lambda connection: connection.execute(statement))
    elif held:
        one = statement.where(chats.c.id == bindparam("chat_row"), chats.c.epoch == bindparam("claimed"))
        rows = [{"chat_row": chat, "claimed": epoch} for chat, epoch in held.items()]
        await database.write(lambda connection: connection.execute(one, rows))


def _waiting(connection: Connection, ids: Sequence[int]) -> dict[int, list[Waiting]]:
    found: dict[int, list[Waiting]] = defaultdict(list)
    for row in connection.execute(_WAITING, {"ids": ids}):
        found[row.chat_id].append(waiting_from_row(row))
    return {chat_id: _by_turns(waiting, time.time()) for chat_id, waiting in found.items()}


def _by_turns(waiting: list[Waiting], now: float) -> list[Waiting]:
    """Oldest first; whoever edits what they said waits for a while behind the others."""
    editors = {one.user_id for one in waiting if one.edits and now - one.said_at < _EDITED_WAITS_S}
    if not editors:
        return waiting
    ordered = sorted(waiting, key=lambda one: one.user_id in editors)  # stable: each person's order is kept
    return ordered if ordered[0].due_at <= now else waiting  # a chat is due when its oldest line is


def waiting_from_row(row: Row[Any]) -> Waiting:
    """The same without what only the database needs."""
    return Waiting(
        row.id,
        row.key,
        row.command,
        row.text,
        row.user_id,
        row.user_name,
        row.message_id,
        row.answer_by,
        row.is_addressed,
        row.said_at,
        row.due_at,
        row.attempts,
        row.edits,
        row.seed,
    )


def _unsent(connection: Connection, ids: Sequence[int]) -> dict[int, list[Unsent]]:
    found: dict[int, list[Unsent]] = defaultdict(list)
    for row in connection.execute(_UNSENT, {"ids": ids}):
        draft = Draft.from_json(row.payload)
        found[row.chat_id].append(
            Unsent(row.nonce, draft, row.created_at, row.due_at, row.attempts, row.state == "sending")
        )
    return found


def _turns(connection: Connection, ids: Sequence[int], number: int) -> dict[int, list[Turn]]:
    """The newest live turns of each chat, oldest first."""
    found: dict[int, list[Turn]] = defaultdict(list)
    for row in connection.execute(_NEWEST, {"ids": ids, "number": number}):
        found[row.chat_id].append(Turn(row.text, row.speaker))
    return found
