"""What a chat has here: exchanges and settings, chosen anew, taken back, tidied up."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, func, select, update

from bots.records import ReplyRecord
from bots.tables import buckets, chats, feedback, inbox, outbox, replies, turns


@dataclass(frozen=True, slots=True)
class Exchange:
    """The newest live exchange of a chat: what was said, and how it was answered."""

    id: int  # inbox_id of both turns and of the reply
    user_id: str  # who was answered
    said: str
    persona: str
    record: ReplyRecord


def last_exchange(connection: Connection, chat_id: int) -> Exchange | None:
    """None when nothing was said yet, or all was taken back."""
    query = (
        select(turns.c.inbox_id, turns.c.user_id, turns.c.text, replies.c.persona, replies.c.record)
        .join(replies, replies.c.inbox_id == turns.c.inbox_id)
        .where(turns.c.chat_id == chat_id, turns.c.is_live, ~turns.c.is_bot)
        .order_by(turns.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return Exchange(row.inbox_id, row.user_id, row.text, row.persona, ReplyRecord(**row.record))


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
