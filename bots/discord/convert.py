"""Pure conversions of what Discord tells into events."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bots.discord.bodies import BUTTONS
from bots.discord.payloads import (
    Deletion,
    Edit,
    Emoji,
    Interaction,
    Member,
    Message,
    Person,
    ReactionChange,
)
from bots.messages import (
    ChatKey,
    Command,
    Deleted,
    Edited,
    Incoming,
    Origin,
    Presence,
    Reaction,
    Request,
    User,
    is_named,
)

NAME = "discord"
_SPOKEN_TYPES = (0, 19)  # message and reply; the others are joins, pins and the like
_EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
_MENTION = re.compile(r"<@!?([0-9]{1,20})>")
_EMOJI = re.compile(r"<a?(:\w+:)[0-9]{1,20}>")
_COMMAND = re.compile(r"/([a-zA-Z]\S*)\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Me:
    """The bot as others address it."""

    id: str
    roles: frozenset[str] = frozenset()  # its own in each server, which people mention by mistake for itself
    channels: frozenset[str] = frozenset()  # where everything is meant for it
    names: tuple[str, ...] = ()  # words by which it is called

    def chat(self, channel: str) -> ChatKey:
        """A channel, direct or not, or a thread, which is a channel of its own."""
        return ChatKey(NAME, self.id, channel)


def snowflake_time(snowflake: str) -> datetime:
    """When something with this id came to be."""
    return _EPOCH + timedelta(milliseconds=int(snowflake) >> 22)


def is_snowflake(number: str) -> bool:
    """Whether an id tells a time: other servers may count from 1, and Discord is younger than these."""
    return int(number) >= 1 << 50


def snowflake_at(when: datetime) -> int:
    """The smallest id that something of this time can have."""
    return max(0, int((when - _EPOCH).total_seconds() * 1000)) << 22


def request_from_message(message: Message, me: Me) -> Request | None:
    """What a person said; None for the bot's own, for system messages and for those without text."""
    if message.author.id == me.id or message.type not in _SPOKEN_TYPES:
        return None
    is_private = message.guild_id is None and message.channel_type in (None, 1)
    text = _plain(message.content, message.mentions, me)
    if not text:
        return None
    is_bot = message.author.bot or message.webhook_id is not None  # two bots would talk for ever
    origin = Origin(
        key=f"m:{message.id}",
        chat=me.chat(message.channel_id),
        when=message.timestamp,
        user=_user(message.author, message.member, is_bot),
        is_private=is_private,
        message_id=message.id,
        guild=message.guild_id or "",
    )
    is_addressed = not is_bot and (is_private or _addresses(message, me))
    if is_addressed and (typed := _COMMAND.fullmatch(text)):
        return Command(typed[1].lower(), typed[2].strip(), origin)
    reference = message.message_reference
    return Incoming(text, origin, is_addressed, (reference and reference.message_id) or "")


def edited_from_edit(edit: Edit, me: Me) -> Edited | None:
    """New words of a person; None for previews of links, and for the bot's own edits."""
    if edit.content is None or edit.edited_timestamp is None:
        return None
    if edit.author is None or edit.author.id == me.id:
        return None
    origin = Origin(
        key=f"e:{edit.id}:{edit.edited_timestamp.isoformat()}",
        chat=me.chat(edit.channel_id),
        when=edit.edited_timestamp,
        user=_user(edit.author, edit.member, edit.author.bot),
        is_private=edit.guild_id is None,
        message_id=edit.id,
        guild=edit.guild_id or "",
    )
    return Edited(_plain(edit.content, edit.mentions, me), origin)


def deleted_from_deletion(deletion: Deletion, me: Me, now: datetime) -> Deleted | None:
    """Messages taken away; Discord tells neither when nor by whom."""
    ids = deletion.ids or ((deletion.id,) if deletion.id else ())
    if not ids:
        return None
    origin = Origin(
        key=f"d:{ids[0]}",
        chat=me.chat(deletion.channel_id),
        when=now,
        is_private=deletion.guild_id is None,
        guild=deletion.guild_id or "",
    )
    return Deleted(ids, origin)


def reaction_from_change(
    change: ReactionChange, is_added: bool, me: Me, stamp: str, now: datetime
) -> Reaction | None:
    """An emoji put on or taken off by another than the bot.

    Args:
        stamp: names this dispatch within its session, as nothing in it does; a replay has the same.
    """
    emoji = _emoji(change.emoji)
    if change.user_id == me.id or not emoji:
        return None
    person = change.member.user if change.member and change.member.user else Person(id=change.user_id)
    origin = Origin(
        key=f"r:{stamp}",
        chat=me.chat(change.channel_id),
        when=now,
        user=_user(person, change.member, person.bot),
        is_private=change.guild_id is None,
        guild=change.guild_id or "",
    )
    added, removed = ((emoji,), ()) if is_added else ((), (emoji,))
    return Reaction(change.message_id, added, removed, origin)


def event_from_interaction(interaction: Interaction, me: Me, now: datetime) -> Command | Reaction | None:
    """A slash command, or a press of one of our buttons; None for anything else."""
    person = (interaction.member and interaction.member.user) or interaction.user
    if person is None:
        return None
    is_command = interaction.type == 2
    token = f"{interaction.application_id}:{interaction.id}:{interaction.token}"
    origin = Origin(
        key=f"i:{interaction.id}",
        chat=me.chat(interaction.channel_id),
        when=snowflake_time(interaction.id) if is_snowflake(interaction.id) else now,
        user=_user(person, interaction.member, person.bot),
        is_private=interaction.guild_id is None and interaction.context in (None, 1),
        guild=interaction.guild_id or "",
        answer_by=token if is_command else "",
    )
    data = interaction.data
    if is_command and data.name:
        argument = " ".join(option.value for option in data.options if option.value)
        return Command(data.name.lower(), argument.strip(), origin)
    if interaction.type == 3 and interaction.message and (emoji := BUTTONS.get(data.custom_id)):
        return Reaction(interaction.message.id, (emoji,), (), origin)
    return None


def own_reactions(message: dict[str, Any]) -> list[str]:
    """Emoji that the bot itself has put on a message, in the form that takes them off again."""
    names, reactions = [], message.get("reactions")
    for reaction in filter(_is_table, reactions if isinstance(reactions, list) else ()):
        emoji = reaction.get("emoji")
        if reaction.get("me") and _is_table(emoji) and emoji.get("name"):
            names.append(f"{emoji['name']}:{emoji['id']}" if emoji.get("id") else str(emoji["name"]))
    return names


def presence_of(chat: str, guild: str, is_present: bool, me: Me, stamp: str, now: datetime) -> Presence:
    """A server that the bot was let into or removed from, or a channel that is no more."""
    return Presence(is_present, Origin(key=f"p:{stamp}", chat=me.chat(chat), when=now, guild=guild))


def _addresses(message: Message, me: Me) -> bool:
    quoted = message.referenced_message
    return (
        message.channel_id in me.channels
        or any(person.id == me.id for person in message.mentions)
        or not me.roles.isdisjoint(message.mention_roles)
        or bool(quoted and quoted.author and quoted.author.id == me.id)
        or is_named(message.content, me.names)
    )


def _plain(content: str, mentions: Sequence[Person], me: Me) -> str:
    """Without the bot's own mention; other mentions and emoji by name instead of number."""
    names = {person.id: f"@{person.global_name or person.username}" for person in mentions}
    names[me.id] = ""
    text = _MENTION.sub(lambda found: names.get(found[1], "@someone"), content)
    for role in me.roles:
        text = text.replace(f"<@&{role}>", "")
    return _EMOJI.sub(r"\1", text).strip()


def _user(person: Person, member: Member | None, is_bot: bool) -> User:
    name = (member and member.nick) or person.global_name or person.username
    return User(person.id, name, is_bot, member.roles if member else ())


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _emoji(emoji: Emoji) -> str:
    return f":{emoji.name}:" if emoji.id else emoji.name or ""
