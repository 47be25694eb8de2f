"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_WAITING, _UNSENT = sa.text("state = 'waiting'"), sa.text("state IN ('waiting', 'sending')")


def _big() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> sa.Column[int]:
    return sa.Column("id", _big(), primary_key=True)


def _chat() -> sa.Column[int]:
    return sa.Column("chat_id", _big(), sa.ForeignKey("chats.id"), nullable=False)


def _must(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def upgrade() -> None:
    """To this step."""
    _talk()
    _queues()
    op.create_table(
        "feedback",
        _id(),
        _chat(),
        *_words("message_id", "user_id", "emoji"),
        _must("given_at", sa.Float()),
        sa.UniqueConstraint("chat_id", "message_id", "user_id", "emoji"),
    )
    op.create_index("ix_feedback_user_id", "feedback", ["user_id"])
    op.create_table(
        "buckets",
        sa.Column("id", sa.String(), primary_key=True),
        *(_must(name, sa.Float()) for name in ("tokens", "counted_at", "told_at")),
    )
    op.create_table(
        "forgotten", sa.Column("id", sa.String(), primary_key=True), _must("forgotten_at", sa.Float())
    )


def _talk() -> None:
    op.create_table(
        "chats",
        _id(),
        *_words("adapter", "bot", "chat", "thread", "guild"),
        _must("is_private", sa.Boolean()),
        _must("is_gone", sa.Boolean()),
        *_words("persona"),
        _must("settings", sa.JSON()),
        *_words("last_message"),
        sa.Column("due_at", sa.Float()),
        _must("lease_until", sa.Float()),
        _must("epoch", sa.Integer()),
        sa.UniqueConstraint("adapter", "bot", "chat", "thread"),
    )
    op.create_index("ix_chats_due_at", "chats", ["due_at"])
    op.create_table(
        "turns",
        _id(),
        _chat(),
        _must("inbox_id", _big()),
        _must("is_bot", sa.Boolean()),
        *_words("user_id", "speaker", "text", "message_id"),
        _must("said_at", sa.Float()),
        _must("is_live", sa.Boolean()),
    )
    op.create_index("ix_turns_inbox_id", "turns", ["inbox_id"])
    op.create_index("turns_live", "turns", ["chat_id", "is_live", "id"])
    op.create_index("turns_user", "turns", ["user_id"])
    op.create_table(
        "replies",
        sa.Column("inbox_id", _big(), primary_key=True, autoincrement=False),
        _chat(),
        *_words("persona"),
        _must("record", sa.JSON()),
    )
    op.create_index("ix_replies_chat_id", "replies", ["chat_id"])


def _queues() -> None:
    op.create_table(
        "inbox",
        _id(),
        *_words("adapter", "bot", "key"),
        _chat(),
        *_words("state", "command", "text", "user_id", "user_name", "message_id", "answer_by"),
        _must("is_addressed", sa.Boolean()),
        *(_must(name, sa.Float()) for name in ("said_at", "received_at", "due_at")),
        *(_must(name, sa.Integer()) for name in ("attempts", "edits")),
        _must("seed", _big()),
        *_words("error"),
        sa.UniqueConstraint("adapter", "bot", "key"),
        sqlite_autoincrement=True,
    )
    op.create_index("inbox_message", "inbox", ["chat_id", "message_id"])
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"])
    op.create_index(
        "inbox_waiting", "inbox", ["chat_id", "id"], sqlite_where=_WAITING, postgresql_where=_WAITING
    )
    op.create_table(
        "outbox",
        _id(),
        sa.Column("nonce", sa.String(), nullable=False, unique=True),
        _chat(),
        _must("reply_id", _big()),
        *_words("state"),
        _must("payload", sa.JSON()),
        *_words("message_id"),
        *(_must(name, sa.Float()) for name in ("created_at", "due_at")),
        _must("attempts", sa.Integer()),
        *_words("error"),
    )
    op.create_index("ix_outbox_created_at", "outbox", ["created_at"])
    op.create_index("ix_outbox_reply_id", "outbox", ["reply_id"])
    op.create_index("outbox_message", "outbox", ["chat_id", "message_id"])
    op.create_index(
        "outbox_unsent", "outbox", ["chat_id", "id"], sqlite_where=_UNSENT, postgresql_where=_UNSENT
    )


def downgrade() -> None:
    """To an empty database."""
    for name in ("forgotten", "buckets", "feedback", "outbox", "inbox", "replies", "turns", "chats"):
        op.drop_table(name)
