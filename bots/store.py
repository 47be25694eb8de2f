"""What a chat and a person have here: exchanges, settings, feedback; taken back, exported, forgotten."""

import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, func, select, update

from bots.database import upsert
from bots.records import ReplyRecord
from bots.tables import buckets, chats, feedback, forgotten, inbox, outbox, replies, turns


@dataclass(frozen=True, slots=True)
class Exchange:
    """The newest live exchange of a chat: what was said, and how it was answered."""

    id: int  # inbox_id of both turns and of the reply
    said: str
    persona: str
    record: ReplyRecord


def last_exchange(connection: Connection, chat_id: int) -> Exchange | None:
    """None when nothing was said yet, or all was taken back."""
    query = (
        select(turns.c.inbox_id, turns.c.text, replies.c.persona, replies.c.record)
        .join(replies, replies.c.inbox_id == turns.c.inbox_id)
        .where(turns.c.chat_id == chat_id, turns.c.is_live, ~turns.c.is_bot)
        .order_by(turns.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return Exchange(row.inbox_id, row.text, row.persona, ReplyRecord(**row.record)) if row else None


def choose(connection: Connection, exchange: Exchange, record: ReplyRecord) -> None:
    """Another candidate takes the place of the one said."""
    connection.execute(
        update(replies).where(replies.c.inbox_id == exchange.id).values(record=record.model_dump(mode="json"))
    )
    connection.execute(
        update(turns)
        .where(turns.c.inbox_id == exchange.id, turns.c.is_bot)
        .values(text=record.candidates[record.chosen].text)
    )


def take_back(connection: Connection, chat_id: int, exchange_id: int | None = None) -> None:
    """One exchange, or all of them, are no part of the conversation any more."""
    what = [turns.c.chat_id == chat_id, turns.c.is_live]
    if exchange_id is not None:
        what.append(turns.c.inbox_id == exchange_id)
    connection.execute(update(turns).where(*what).values(is_live=False))


def set_chat(connection: Connection, chat_id: int, **values: Any) -> None:
    """Change columns of a chat's row: persona, settings."""
    connection.execute(update(chats).where(chats.c.id == chat_id).values(**values))


def export(connection: Connection, adapter: str, user_id: str) -> dict[str, Any]:
    """All that is kept of a person: what they said, what the bot answered them, their verdicts."""
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
    }


def forget(connection: Connection, adapter: str, user_id: str) -> int:
    """Delete what `export` gives and all that hangs on it; how many turns that were.

    What stays is a digest of the person's id, so that older copies never enter a training set.
    """
    ids = list(connection.execute(_exchanges(adapter, user_id)).scalars())
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
    mine = (inbox.c.adapter == adapter, inbox.c.user_id == user_id)
    connection.execute(
        update(inbox)
        .where(*mine, inbox.c.state == "waiting", inbox.c.command != "forget")
        .values(state="withdrawn", edits=inbox.c.edits + 1)
    )
    connection.execute(
        update(inbox).where(*mine).values(user_id="", user_name="", text="", message_id="", answer_by="")
    )
    connection.execute(delete(buckets).where(buckets.c.id == f"person/{adapter}/{user_id}"))
    upsert(connection, forgotten, [{"id": digest(adapter, user_id), "forgotten_at": time.time()}])
    return num_turns


def digest(adapter: str, user_id: str) -> str:
    """The name of a person in the table of the forgotten."""
    return blake2b(f"{adapter}/{user_id}".encode(), digest_size=16).hexdigest()


def tidy(connection: Connection, older_than: float) -> None:
    """Drop keys of events, traces of messages and counts that nobody asks for any more."""
    connection.execute(delete(inbox).where(inbox.c.state != "waiting", inbox.c.received_at < older_than))
    sent = outbox.c.state.in_(("sent", "dead"))
    connection.execute(delete(outbox).where(sent, outbox.c.created_at < older_than, outbox.c.reply_id == 0))
    connection.execute(delete(buckets).where(buckets.c.counted_at < older_than))
    empty = [
        ~exists().where(table.c.chat_id == chats.c.id) for table in (inbox, turns, outbox, replies, feedback)
    ]
    connection.execute(
        delete(chats).where(*empty, chats.c.persona == "", func.length(chats.c.last_message) == 0)
    )


def _exchanges(adapter: str, user_id: str) -> Select[tuple[int]]:
    return (
        select(turns.c.inbox_id)
        .join(chats, chats.c.id == turns.c.chat_id)
        .where(chats.c.adapter == adapter, turns.c.user_id == user_id, ~turns.c.is_bot)
        .distinct()
    )
