"""Events that need no answer: edits, deletions, reactions, comings and goings; written when heard."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, update

from bots.database import insert_missing
from bots.messages import ChatKey, Deleted, Edited, Event, Moved, Origin, Presence, Reaction
from bots.tables import chats, feedback, inbox, outbox, replies, turns

MAX_EDITS = 3  # of one message that waits: each may void an answer that is in the making


def note(connection: Connection, events: Sequence[Event], now: float) -> None:
    """Write them in order; what concerns a chat that was never talked in is passed over."""
    for event in events:
        chat_id = _chat_id(connection, event.origin.chat)
        if chat_id is None:
            continue
        insert_missing(connection, inbox, [_done(event.origin, chat_id, now)])
        if isinstance(event, Edited):
            _edit(connection, chat_id, event)
        elif isinstance(event, Deleted):
            _delete(connection, chat_id, event)
        elif isinstance(event, Reaction):
            _react(connection, chat_id, event, now)
        elif isinstance(event, Presence):
            _appear(connection, chat_id, event)
        elif isinstance(event, Moved):
            _move(connection, chat_id, event.to)


def changing(connection: Connection, edits: Sequence[Edited]) -> list[tuple[Edited, int]]:
    """The edits of what waits, each with its chat's row; of one message at most MAX_EDITS."""
    found, left = [], dict[tuple[int, str], int]()
    for event in edits:
        chat_id = _chat_id(connection, event.origin.chat)
        if chat_id is None:
            continue
        message = (chat_id, event.origin.message_id)
        if message not in left:
            query = select(func.min(inbox.c.edits)).where(*_is_waiting(chat_id, event))
            num_edits = connection.execute(query).scalar()
            left[message] = 0 if num_edits is None else MAX_EDITS - num_edits
        if left[message] > 0:
            left[message] -= 1
            found.append((event, chat_id))
    return found


def leave(connection: Connection, chat_id: int) -> None:
    """The chat is closed to the bot: nothing waits for it any more, and what is being done for it is void."""
    connection.execute(
        update(chats)
        .where(chats.c.id == chat_id)
        .values(is_gone=True, due_at=None, lease_until=0.0, epoch=chats.c.epoch + 1)
    )
    connection.execute(
        update(inbox)
        .where(inbox.c.chat_id == chat_id, inbox.c.state == "waiting")
        .values(state="withdrawn", text="", answer_by="", edits=inbox.c.edits + 1)
    )
    unsent = outbox.c.state.in_(("waiting", "sending"))
    connection.execute(
        update(outbox)
        .where(outbox.c.chat_id == chat_id, unsent)
        .values(state="dead", payload={}, error="the chat is gone")
    )


def _chat_id(connection: Connection, key: ChatKey) -> int | None:
    query = select(chats.c.id).where(
        chats.c.adapter == key.adapter,
        chats.c.bot == key.bot,
        chats.c.chat == key.chat,
        chats.c.thread == key.thread,
    )
    return connection.execute(query.with_for_update()).scalar()


def _done(origin: Origin, chat_id: int, now: float) -> dict[str, object]:
    """A row that only keeps the key."""
    return {
        "adapter": origin.chat.adapter,
        "bot": origin.chat.bot,
        "key": origin.key,
        "chat_id": chat_id,
        "state": "done",
        "command": "",
        "text": "",
        "user_id": origin.user.id,
        "user_name": "",
        "message_id": "",
        "answer_by": "",
        "is_addressed": False,
        "said_at": origin.when.timestamp(),
        "received_at": now,
        "due_at": now,
        "attempts": 0,
        "edits": 0,
        "seed": 0,
        "error": "",
    }


def _edit(connection: Connection, chat_id: int, event: Edited) -> None:
    """Text that waits is replaced; what was answered stays as it was."""
    connection.execute(
        update(inbox).where(*_is_waiting(chat_id, event)).values(text=event.text, edits=inbox.c.edits + 1)
    )


def _is_waiting(chat_id: int, event: Edited) -> tuple[ColumnElement[bool], ...]:
    """What is said by the message that was edited, as long as it is not answered."""
    return (
        inbox.c.chat_id == chat_id,
        inbox.c.message_id == event.origin.message_id,
        inbox.c.state == "waiting",
        inbox.c.command == "",
    )


def _delete(connection: Connection, chat_id: int, event: Deleted) -> None:
    """What waits is withdrawn; an exchange that holds a deleted message, of either side, is taken back."""
    connection.execute(
        update(inbox)
        .where(
            inbox.c.chat_id == chat_id, inbox.c.message_id.in_(event.message_ids), inbox.c.state == "waiting"
        )
        .values(state="withdrawn", text="", edits=inbox.c.edits + 1)
    )
    said = select(turns.c.inbox_id).where(
        turns.c.chat_id == chat_id, turns.c.message_id.in_(event.message_ids)
    )
    answered = select(outbox.c.reply_id).where(
        outbox.c.chat_id == chat_id, outbox.c.message_id.in_(event.message_ids), outbox.c.reply_id != 0
    )
    connection.execute(
        update(turns)
        .where(turns.c.chat_id == chat_id, or_(turns.c.inbox_id.in_(said), turns.c.inbox_id.in_(answered)))
        .values(is_live=False)
    )


def _react(connection: Connection, chat_id: int, event: Reaction, now: float) -> None:
    mine = (feedback.c.chat_id == chat_id, feedback.c.message_id == event.message_id)
    if event.removed:
        connection.execute(
            delete(feedback).where(
                *mine, feedback.c.user_id == event.origin.user.id, feedback.c.emoji.in_(event.removed)
            )
        )
    rows = [
        {
            "chat_id": chat_id,
            "message_id": event.message_id,
            "user_id": event.origin.user.id,
            "emoji": emoji,
            "given_at": now,
        }
        for emoji in event.added
    ]
    insert_missing(connection, feedback, rows)


def _appear(connection: Connection, chat_id: int, event: Presence) -> None:
    if event.is_present:
        connection.execute(update(chats).where(chats.c.id == chat_id).values(is_gone=False))
    else:
        leave(connection, chat_id)


def _next_due(connection: Connection, chat_id: int) -> float | None:
    """When the chat is to be looked at: what is unsent goes first, then what waits for an answer."""
    for table, states in ((outbox, ("waiting", "sending")), (inbox, ("waiting",))):
        found = select(func.min(table.c.due_at)).where(table.c.chat_id == chat_id, table.c.state.in_(states))
        if (due := connection.execute(found).scalar()) is not None:
            return float(due)
    return None


def _move(connection: Connection, chat_id: int, to: ChatKey) -> None:
    """The chat's rows go on under the new key; if that is in use already, both become one."""
    new_id = _chat_id(connection, to)
    if new_id is None:
        connection.execute(
            update(chats)
            .where(chats.c.id == chat_id)
            .values(adapter=to.adapter, bot=to.bot, chat=to.chat, thread=to.thread, is_gone=False)
        )
        return
    for table in (inbox, turns, replies, outbox, feedback):
        connection.execute(update(table).where(table.c.chat_id == chat_id).values(chat_id=new_id))
    old, new = (
        connection.execute(select(chats).where(chats.c.id == number)).one() for number in (chat_id, new_id)
    )
    connection.execute(
        update(chats)
        .where(chats.c.id == new_id)
        .values(
            persona=new.persona or old.persona,
            settings=new.settings or old.settings,
            due_at=_next_due(connection, new_id),
            lease_until=0.0,  # a step in the making is void with its epoch: whoever comes may claim the chat
            epoch=chats.c.epoch + 1,
        )
    )
    connection.execute(delete(chats).where(chats.c.id == chat_id))
