"""Updates to events, and messages of ours to what Telegram shows; pure."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from bots.messages import (
    ChatKey,
    Command,
    Edited,
    Event,
    Incoming,
    Limits,
    Moved,
    Origin,
    Outgoing,
    Presence,
    Reaction,
    Table,
    User,
    is_named,
    storable,
)
from bots.telegram.addressing import Me, call_from_text, without_mention
from bots.telegram.wire import Chat, Membership, Message, Person, Place, Press, Reacted, Update

ADAPTER = "telegram"
LIKE, DISLIKE = "\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"
_PRESSED = {"feedback:up": (LIKE, DISLIKE), "feedback:down": (DISLIKE, LIKE)}  # data: put on, taken off
BUTTONS = tuple((added, data) for data, (added, _) in _PRESSED.items())  # label and data of each
_PING = re.compile(r"(?<![\w@])@(?=[A-Za-z]\w{2})")
_PHOTO = (".jpg", ".jpeg", ".png", ".webp")


def events_from_update(update: Update, me: Me, now: datetime) -> tuple[Event, ...]:
    """What an update says; nothing for what is not for us.

    Args:
        now: time of a press, which Telegram does not tell.
    """
    return tuple(event for event in _events(update, me, now) if event is not None)


def _events(update: Update, me: Me, now: datetime) -> Iterator[Event | None]:
    if update.message:
        yield _from_message(update.message, me)
    if update.edited_message:
        yield _from_edited(update.edited_message, me)
    if update.callback_query:
        yield _from_press(update.callback_query, me, now)
    if update.message_reaction:
        yield _from_reacted(update.message_reaction, me)
    if update.my_chat_member:
        yield _from_membership(update.my_chat_member, me)


def chat_key(chat_id: int | str, me: Me, thread: str = "") -> ChatKey:
    """The key of a chat, or of a topic in it."""
    return ChatKey(ADAPTER, me.id, str(chat_id), thread)


def moved(old: int | str, new: int | str, me: Me, when: datetime) -> Moved:
    """A group became a supergroup; both chats tell it, and so may a refused message, with one key."""
    origin = Origin(key=f"g:{old}:{new}", chat=chat_key(old, me), when=when)
    return Moved(chat_key(new, me), origin)


def _from_message(message: Message, me: Me) -> Event | None:
    if message.migrate_to_chat_id is not None:
        return moved(message.chat.id, message.migrate_to_chat_id, me, _when(message.date))
    if message.migrate_from_chat_id is not None:
        return moved(message.migrate_from_chat_id, message.chat.id, me, _when(message.date))
    said, was_mentioned = _said(message, me)
    if not said:
        return None
    origin, replied = _origin(message, me), message.reply_to_message
    is_reply = replied is not None and replied.forum_topic_created is None
    is_reply_to_us = is_reply and replied is not None and _is_us(replied.sender, me)
    call, is_direct = call_from_text(said), origin.is_private or was_mentioned or is_reply_to_us
    if call is not None:
        if me.takes(call, is_direct):
            return Command(call.name, call.argument, origin)
        if not origin.is_private:  # for another bot
            return None
    return Incoming(
        said,
        origin,
        is_direct or is_named(said, me.names),
        str(replied.message_id) if replied and is_reply else "",
    )


def _from_edited(message: Message, me: Me) -> Event | None:
    said, _ = _said(message, me)
    return Edited(said, _origin(message, me)) if said else None


def _from_press(press: Press, me: Me, now: datetime) -> Event | None:
    if press.message is None or press.data not in _PRESSED:
        return None
    added, removed = _PRESSED[press.data]
    origin = Origin(
        key=f"c:{press.id}",
        chat=_key_of(press.message, me),
        when=now,
        user=_user(press.sender, None),
        is_private=press.message.chat.type == "private",
    )
    return Reaction(str(press.message.message_id), (added,), (removed,), origin)


def _from_reacted(reacted: Reacted, me: Me) -> Event | None:
    """A reaction; Telegram does not tell the topic, so its chat key has none."""
    before = tuple(one.emoji for one in reacted.old_reaction if one.emoji)
    after = tuple(one.emoji for one in reacted.new_reaction if one.emoji)
    user = _user(reacted.user, reacted.actor_chat)
    added = tuple(emoji for emoji in after if emoji not in before)
    removed = tuple(emoji for emoji in before if emoji not in after)
    if not added and not removed:
        return None
    key = f"r:{reacted.chat.id}:{reacted.message_id}:{user.id}:{reacted.date}:{''.join(sorted(after))}"
    origin = Origin(
        key=key,
        chat=chat_key(reacted.chat.id, me),
        when=_when(reacted.date),
        user=user,
        is_private=reacted.chat.type == "private",
    )
    return Reaction(str(reacted.message_id), added, removed, origin)


def _from_membership(change: Membership, me: Me) -> Event | None:
    is_present = change.new_chat_member.is_present
    if is_present == change.old_chat_member.is_present:
        return None
    origin = Origin(
        key=f"p:{change.chat.id}:{change.date}:{change.new_chat_member.status}",
        chat=chat_key(change.chat.id, me),
        when=_when(change.date),
        user=_user(change.sender, None),
        is_private=change.chat.type == "private",
    )
    return Presence(is_present, origin)


def _said(message: Message, me: Me) -> tuple[str, bool]:
    """The text, caption or sticker's emoji without our mention, and whether we were mentioned."""
    if message.text or message.caption:
        entities = message.entities if message.text else message.caption_entities
        return without_mention(message.text or message.caption, entities, me)
    return (message.sticker.emoji if message.sticker else "").strip(), False


def _origin(message: Message, me: Me) -> Origin:
    return Origin(
        key=f"m:{message.chat.id}:{message.message_id}:{message.edit_date}",
        chat=_key_of(message, me),
        when=_when(message.edit_date or message.date),
        user=_user(message.sender, message.sender_chat),
        is_private=message.chat.type == "private",
        message_id=str(message.message_id),
    )


def _key_of(place: Place, me: Me) -> ChatKey:
    thread = str(place.message_thread_id or "") if place.is_topic_message else ""
    return chat_key(place.chat.id, me, thread)


def _user(sender: Person | None, behalf: Chat | None) -> User:
    """Who acts; one who speaks as a group or channel is that."""
    if behalf is not None:
        return User(str(behalf.id), behalf.title)
    if sender is None:
        return User("")
    return User(str(sender.id), f"{sender.first_name} {sender.last_name}".strip(), sender.is_bot)


def _is_us(sender: Person | None, me: Me) -> bool:
    return sender is not None and str(sender.id) == me.id


def _when(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def text_from_outgoing(message: Outgoing, limits: Limits) -> str:
    """What is shown: in groups nobody is pinged, and of a table as many rows as there is room for."""
    text = storable(message.text)
    if message.chat.chat.startswith("-"):  # ids of groups are negative
        text = without_pings(text)
    if message.table is None:
        return text
    for line in _lines(message.table):
        longer = f"{text}\n{without_pings(storable(line))}"
        if limits.length(longer) > limits.max_len:
            break
        text = longer
    return text


def without_pings(text: str) -> str:
    """The same text, of the same length, in which no @name notifies anybody."""
    return _PING.sub("\N{FULLWIDTH COMMERCIAL AT}", text)


def _lines(table: Table) -> Iterator[str]:
    for place, row in enumerate((table.columns, *table.rows), start=-1):
        mark = "\N{BLACK RIGHT-POINTING POINTER} " if place == table.marked and place >= 0 else ""
        yield mark + " | ".join(cell for cell in row if cell)


def is_photo(url: str) -> bool:
    """Whether a picture stands still; all else is sent as an animation."""
    return urlsplit(url).path.lower().endswith(_PHOTO)
