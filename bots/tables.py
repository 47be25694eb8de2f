"""What is kept, as tables; `migrations` holds how they came about.

Moments are seconds of UTC since 1970. A chat's row is its lock: whoever works on a chat holds its lease, and
whatever is written for it is written only while the row's epoch is still the one that was claimed.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, Table, UniqueConstraint, text
from sqlmodel import Field, SQLModel

_BIG = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself there
_WAITING, _UNSENT = text("state = 'waiting'"), text("state IN ('waiting', 'sending')")


class ChatRow(SQLModel, table=True):
    """One place of talk, its settings, and who works on it until when."""

    __tablename__ = "chats"
    __table_args__ = (UniqueConstraint("adapter", "bot", "chat", "thread"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    adapter: str
    bot: str
    chat: str
    thread: str = ""
    guild: str = ""
    is_private: bool
    is_gone: bool = False  # blocked, removed or deleted: nothing is sent there
    persona: str = ""  # slug; empty = the configured one
    settings: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)  # records.ChatSettings
    last_message: str = ""  # newest accepted id, to ask a platform what was missed
    due_at: float | None = Field(default=None, index=True)  # when to look at it next; None = nothing waits
    lease_until: float = 0.0
    epoch: int = 0  # counts the claims


class InboxRow(SQLModel, table=True):
    """One event: `waiting` until it is answered; afterwards its key stays for a while, its text does not."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("adapter", "bot", "key"),
        Index("inbox_waiting", "chat_id", "id", sqlite_where=_WAITING, postgresql_where=_WAITING),
        Index("inbox_message", "chat_id", "message_id"),
        {"sqlite_autoincrement": True},  # replies and turns go by its id, also after old rows were deleted
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    adapter: str
    bot: str
    key: str
    chat_id: int = Field(foreign_key="chats.id", sa_type=_BIG)
    state: str = "waiting"  # waiting | done | ignored | refused | stale | withdrawn | dead
    command: str = ""  # its name; empty = something said
    text: str = ""  # what was said, or the words after a command
    user_id: str = ""
    user_name: str = ""
    message_id: str = ""
    answer_by: str = ""
    is_addressed: bool = True
    said_at: float
    received_at: float = Field(index=True)
    due_at: float
    attempts: int = 0  # failed ones
    edits: int = 0  # grows when the text changes, so that an answer to the old one is not kept
    seed: int = Field(default=0, sa_type=_BIG)  # the same reply after a crash
    error: str = ""


class TurnRow(SQLModel, table=True):
    """One turn of a conversation; those taken back or forgotten by /reset are not live."""

    __tablename__ = "turns"
    __table_args__ = (Index("turns_live", "chat_id", "is_live", "id"), Index("turns_user", "user_id"))

    id: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    chat_id: int = Field(foreign_key="chats.id", sa_type=_BIG)
    inbox_id: int = Field(index=True, sa_type=_BIG)  # of the event answered: the two turns of an exchange
    is_bot: bool
    user_id: str = ""  # empty for the bot
    speaker: str = ""
    text: str
    message_id: str = ""
    said_at: float
    is_live: bool = True


class ReplyRow(SQLModel, table=True):
    """How the bot's turn of an exchange was chosen."""

    __tablename__ = "replies"

    inbox_id: int = Field(primary_key=True, sa_type=_BIG, sa_column_kwargs={"autoincrement": False})
    chat_id: int = Field(foreign_key="chats.id", index=True, sa_type=_BIG)
    persona: str
    record: dict[str, Any] = Field(sa_type=JSON)  # records.ReplyRecord


class OutboxRow(SQLModel, table=True):
    """One message of the platform: `waiting`, then `sending`, then `sent` under the platform's id."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("outbox_unsent", "chat_id", "id", sqlite_where=_UNSENT, postgresql_where=_UNSENT),
        Index("outbox_message", "chat_id", "message_id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    nonce: str = Field(unique=True)
    chat_id: int = Field(foreign_key="chats.id", sa_type=_BIG)
    reply_id: int = Field(default=0, index=True, sa_type=_BIG)  # replies.inbox_id; 0 = a note of the house
    state: str = "waiting"  # waiting | sending | sent | dead
    payload: dict[str, Any] = Field(sa_type=JSON)  # records.Draft, emptied once sent
    message_id: str = ""
    created_at: float = Field(index=True)
    due_at: float
    attempts: int = 0
    error: str = ""


class FeedbackRow(SQLModel, table=True):
    """One person's verdict on one message of the bot."""

    __tablename__ = "feedback"
    __table_args__ = (UniqueConstraint("chat_id", "message_id", "user_id", "emoji"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    chat_id: int = Field(foreign_key="chats.id", sa_type=_BIG)
    message_id: str
    user_id: str = Field(index=True)
    emoji: str
    given_at: float


class BucketRow(SQLModel, table=True):
    """How many messages a person, a chat or all together may still send now."""

    __tablename__ = "buckets"

    id: str = Field(primary_key=True)
    tokens: float
    counted_at: float
    told_at: float = 0.0  # when the last notice went out


class ForgottenRow(SQLModel, table=True):
    """A person who asked to be forgotten: nothing said before that moment may enter a training set."""

    __tablename__ = "forgotten"

    id: str = Field(primary_key=True)  # digest of adapter and user id
    forgotten_at: float


def _table(name: str) -> Table:
    return SQLModel.metadata.tables[name]


chats, inbox, turns, replies = _table("chats"), _table("inbox"), _table("turns"), _table("replies")
outbox, feedback, buckets, forgotten = (
    _table("outbox"),
    _table("feedback"),
    _table("buckets"),
    _table("forgotten"),
)
