"""What is kept of a person: exported, forgotten, and kept forgotten when an older copy comes back."""

import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, or_, select, union, update

from bots.database import EMPTY_LOG, upsert
from bots.errors import NobodyNamed
from bots.tables import buckets, chats, feedback, forgotten, inbox, outbox, replies, turns


def export(connection: Connection, adapter: str, user_id: str) -> dict[str, Any]:
    """All that is kept of a person: what was said, their verdicts, and what they set in private chats.

    Raises:
        NobodyNamed: the id is empty.
    """
    check_named(user_id)
    theirs = _exchanges(adapter, user_id)
    said = (
        select(chats.c.chat, chats.c.thread, chats.c.is_private, turns)
        .join(chats, chats.c.id == turns.c.chat_id)
        .where(turns.c.inbox_id.in_(theirs))
        .order_by(turns.c.id)
    )
    waiting = (
        select(chats.c.chat, inbox.c.text, inbox.c.said_at)
        .join(chats, chats.c.id == inbox.c.chat_id)
        .where(inbox.c.adapter == adapter, inbox.c.user_id == user_id, inbox.c.state == "waiting")
        .order_by(inbox.c.id)
    )
    given = (
        select(chats.c.chat, feedback.c.message_id, feedback.c.emoji, feedback.c.given_at)
        .join(chats, chats.c.id == feedback.c.chat_id)
        .where(chats.c.adapter == adapter, feedback.c.user_id == user_id)
    )
    theirs_alone = select(chats.c.chat, chats.c.thread, chats.c.persona, chats.c.settings).where(
        chats.c.id.in_(_private_chats(adapter, user_id))
    )
    return {
        "adapter": adapter,
        "user": user_id,
        "turns": [
            {
                "chat": row.chat,
                "is_private": row.is_private,
                "speaker": row.speaker,
                "is_bot": row.is_bot,
                "text": row.text,
                "said_at": row.said_at,
                "is_live": row.is_live,
            }
            for row in connection.execute(said)
        ],
        "waiting": [dict(row._mapping) for row in connection.execute(waiting)],
        "feedback": [dict(row._mapping) for row in connection.execute(given)],
        "private_chats": [dict(row._mapping) for row in connection.execute(theirs_alone)],
    }


def forget(connection: Connection, adapter: str, user_id: str, until: int | None = None) -> int:
    """Delete what `export` gives and all that hangs on it; how many turns that were.

    What stays is a digest of the person's id, so that older copies never enter a training set.

    Args:
        until: the inbox_id of the wish to be forgotten; what was said after it is not meant.

    Raises:
        NobodyNamed: the id is empty; nothing was changed.
    """
    check_named(user_id)
    exchanges = _exchanges(adapter, user_id)
    mine = [inbox.c.adapter == adapter, inbox.c.user_id == user_id]
    if until is not None:
        exchanges = exchanges.where(turns.c.inbox_id <= until)
        mine.append(inbox.c.id <= until)
    ids = list(connection.execute(exchanges).scalars())
    private = list(connection.execute(_private_chats(adapter, user_id)).scalars())
    ours = select(chats.c.id).where(chats.c.adapter == adapter)
    num_turns = 0
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        num_turns += (connection.execute(delete(turns).where(turns.c.inbox_id.in_(some)))).rowcount
        connection.execute(delete(replies).where(replies.c.inbox_id.in_(some)))
        connection.execute(delete(outbox).where(outbox.c.reply_id.in_(some), outbox.c.state != "waiting"))
        connection.execute(
            update(outbox).where(outbox.c.reply_id.in_(some)).values(state="dead", payload={}, reply_id=0)
        )
    connection.execute(delete(feedback).where(feedback.c.user_id == user_id, feedback.c.chat_id.in_(ours)))
    connection.execute(
        update(inbox)
        .where(*mine, inbox.c.state == "waiting", inbox.c.command != "forget")
        .values(state="withdrawn", edits=inbox.c.edits + 1)
    )
    connection.execute(
        update(inbox).where(*mine).values(user_id="", user_name="", text="", message_id="", answer_by="")
    )
    connection.execute(delete(buckets).where(buckets.c.id == f"person/{adapter}/{user_id}"))
    _leave_empty(connection, private)
    upsert(connection, forgotten, [{"id": digest(adapter, user_id), "forgotten_at": time.time()}])
    connection.info[EMPTY_LOG] = True
    return num_turns


def heed(connection: Connection, tombstones: Mapping[str, float]) -> int:
    """Forget here whom another copy of the database has forgotten since; how many people that were.

    Args:
        tombstones: moments by digest, as the table of the forgotten has them.
    """
    known = {row.id: row.forgotten_at for row in connection.execute(select(forgotten))}
    newer = {name: moment for name, moment in tombstones.items() if moment > known.get(name, 0.0)}
    everybody = union(
        *(
            select(chats.c.adapter, table.c.user_id).join(chats, chats.c.id == table.c.chat_id)
            for table in (turns, inbox, feedback)
        )
    )
    num_people = 0
    for adapter, user_id in connection.execute(everybody).all():
        if user_id and digest(adapter, user_id) in newer:
            forget(connection, adapter, user_id)
            num_people += 1
    rows = [{"id": name, "forgotten_at": moment} for name, moment in newer.items()]
    upsert(connection, forgotten, rows)
    return num_people


def platforms(connection: Connection) -> set[str]:
    """Names of the adapters that the database knows people of, installed or not."""
    return {row.adapter for row in connection.execute(select(chats.c.adapter).distinct())}


def digest(adapter: str, user_id: str) -> str:
    """The name of a person in the table of the forgotten."""
    return blake2b(f"{adapter}/{user_id}".encode(), digest_size=16).hexdigest()


def check_named(user_id: str) -> None:
    """Rows of the bot, and of people whom a platform does not name, have an empty id: never search by it.

    Raises:
        NobodyNamed.
    """
    if not user_id.strip():
        raise NobodyNamed("the person's id is empty; give the id that the platform knows them by")


def _exchanges(adapter: str, user_id: str) -> Select[int]:
    return (
        select(turns.c.inbox_id)
        .join(chats, chats.c.id == turns.c.chat_id)
        .where(chats.c.adapter == adapter, turns.c.user_id == user_id, ~turns.c.is_bot)
        .distinct()
    )


def _private_chats(adapter: str, user_id: str) -> Select[int]:
    """Where nobody but this person talks; some platforms name such a chat as they name the person."""
    tables = (inbox, turns, feedback)
    is_seen = or_(*(exists().where(one.c.chat_id == chats.c.id, one.c.user_id == user_id) for one in tables))
    others = exists().where(turns.c.chat_id == chats.c.id, ~turns.c.is_bot, turns.c.user_id != user_id)
    return select(chats.c.id).where(
        chats.c.adapter == adapter,
        chats.c.is_private,
        or_(is_seen, and_(chats.c.chat == user_id, ~others)),
    )


def _leave_empty(connection: Connection, ids: Sequence[int]) -> None:
    """Take away what is set in chats, and the chats themselves where nothing is being done."""
    connection.execute(
        update(chats).where(chats.c.id.in_(ids)).values(persona="", settings={}, last_message="")
    )
    is_busy = or_(
        exists().where(inbox.c.chat_id == chats.c.id, inbox.c.state == "waiting"),
        exists().where(outbox.c.chat_id == chats.c.id, outbox.c.state.in_(("waiting", "sending"))),
    )
    idle = connection.execute(
        select(chats).where(chats.c.id.in_(ids), chats.c.lease_until < time.time(), ~is_busy)
    ).all()
    gone = [row.id for row in idle]
    for table in (outbox, feedback, replies, turns, inbox):
        connection.execute(delete(table).where(table.c.chat_id.in_(gone)))
    counted = [f"chat/{row.adapter}/{row.bot}/{row.chat}" for row in idle]
    connection.execute(delete(buckets).where(buckets.c.id.in_(counted)))
    connection.execute(delete(chats).where(chats.c.id.in_(gone)))
