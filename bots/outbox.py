"""Rows of the outbox: what is to be sent, under names that stay the same however often it is tried."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from bots.messages import Limits, Origin
from bots.records import Draft
from bots.split import split

TOO_MUCH = "That is a lot at once. Give me a minute, then go on, please."
NOT_HERE = "You cannot use this bot here."
NOT_NOW = "That was too much at once; try again in a minute."
TOO_MANY = "More is being said here than I can answer. Give me a minute, please."
_NONCE_BYTES = 12  # 24 letters: Discord takes 25


@dataclass(frozen=True, slots=True)
class Unsent:
    """One message that waits in the outbox."""

    nonce: str
    draft: Draft
    created_at: float
    due_at: float
    attempts: int = 0
    is_maybe_sent: bool = False  # a process ended between handing it over and noting that


@dataclass(frozen=True, slots=True)
class Mark:
    """What became of one message: its new state, and when to try again."""

    nonce: str
    state: str  # waiting | sending | sent | dead
    message_id: str = ""
    attempts: int = 0
    due_at: float = 0.0
    error: str = ""


def outbox_row(
    chat_id: int, event: str, place: int, draft: Draft, now: float, reply_id: int = 0
) -> dict[str, Any]:
    """One row; its nonce is made from the event that it answers and its place among the answers."""
    return {
        "nonce": blake2b(f"{event}/{place}".encode(), digest_size=_NONCE_BYTES).hexdigest(),
        "chat_id": chat_id,
        "reply_id": reply_id,
        "state": "waiting",
        "payload": draft.to_json(),
        "message_id": "",
        "created_at": now,
        "due_at": now,
        "attempts": 0,
        "error": "",
    }


def notices(judged: Iterable[tuple[Origin, int, str]], now: float) -> list[dict[str, Any]]:
    """What is said to those, and in those chats, from whom too much came.

    Args:
        judged: where a message came from, its chat's row, and the verdict of the gate.
    """
    rows = []
    for origin, chat_id, verdict in judged:
        to = "" if origin.is_private else origin.message_id
        if verdict == "told":
            draft = Draft(TOO_MUCH, reply_to=to, answer_by=origin.answer_by)
        elif verdict == "chat told":
            draft = Draft(TOO_MANY)
        else:
            continue
        event = f"{origin.chat.adapter}/{origin.chat.bot}/{origin.key}"
        rows.append(outbox_row(chat_id, event, 0, draft, now))
    return rows


def parts(drafts: Sequence[Draft], limits: Limits) -> list[Draft]:
    """Drafts of at most one platform message each; blank parts, which platforms refuse, are left out."""
    cut = []
    for draft in drafts:
        texts = tuple(text for text in split(draft.text, limits) if text.strip())
        if texts or draft.media_url or draft.gif or draft.document:
            cut += draft.parts(texts)
    return cut
