"""What Discord sends, as far as we read it. Unknown fields are ignored, a wrong one refuses its payload."""

from typing import Annotated

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from bots.messages import storable


def _storable(value: object) -> object:
    return storable(value) if isinstance(value, str) else value


def _word(value: object) -> object:
    return None if value is None else str(value)


def _or_none(given: object, validate: ValidatorFunctionWrapHandler) -> object:
    try:
        return validate(given)
    except ValidationError:
        return None


def _listed(given: object) -> object:
    return given if isinstance(given, list | tuple) else ()


Id = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
Text = Annotated[str, BeforeValidator(_storable)]


class Payload(BaseModel):
    """Base of all below; errors show no input, it may be what a person said."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True
    )


class Person(Payload):
    """A user; `global_name` is the one others see."""

    id: Id
    username: Text = ""
    global_name: Text | None = None
    bot: bool = False


class Member(Payload):
    """A user in a server."""

    nick: Text | None = None
    roles: tuple[Id, ...] = ()
    user: Person | None = None


class Reference(Payload):
    """Which message another one replies to, or which application a session is of."""

    message_id: Id | None = None
    id: Id | None = None


class Quoted(Payload):
    """The message replied to, or the one below which a button was pressed."""

    id: Id
    author: Person | None = None


class Message(Payload):
    """MESSAGE_CREATE, or one of a channel's history, where `guild_id` and `member` are missing."""

    id: Id
    channel_id: Id
    author: Person
    timestamp: AwareDatetime
    content: Text = ""
    guild_id: Id | None = None
    channel_type: int | None = None
    member: Member | None = None
    mentions: Annotated[tuple[Person, ...], BeforeValidator(_listed)] = ()
    mention_roles: Annotated[tuple[Id, ...], BeforeValidator(_listed)] = ()
    message_reference: Annotated[Reference | None, WrapValidator(_or_none)] = None
    referenced_message: Annotated[Quoted | None, WrapValidator(_or_none)] = None
    webhook_id: Id | None = None
    type: int = 0


class Edit(Payload):
    """MESSAGE_UPDATE; also sent when a link gets its preview, then without `edited_timestamp`."""

    id: Id
    channel_id: Id
    author: Person | None = None
    content: Text | None = None
    edited_timestamp: AwareDatetime | None = None
    guild_id: Id | None = None
    member: Member | None = None
    mentions: tuple[Person, ...] = ()


class Deletion(Payload):
    """MESSAGE_DELETE with `id`, MESSAGE_DELETE_BULK with `ids`."""

    channel_id: Id
    id: Id | None = None
    ids: tuple[Id, ...] = ()
    guild_id: Id | None = None


class Emoji(Payload):
    """A Unicode emoji by name, or a server's own by name and id."""

    id: Id | None = None
    name: Text | None = None


class ReactionChange(Payload):
    """MESSAGE_REACTION_ADD and _REMOVE."""

    user_id: Id
    channel_id: Id
    message_id: Id
    emoji: Emoji
    guild_id: Id | None = None
    member: Member | None = None


class Option(Payload):
    """One argument of a slash command."""

    name: Text
    value: Annotated[Text | None, BeforeValidator(_word)] = None
    focused: bool = False


class InteractionData(Payload):
    """Which command, or which button."""

    name: Text = ""
    options: tuple[Option, ...] = ()
    custom_id: Text = ""


class Interaction(Payload):
    """INTERACTION_CREATE; the token stands for the bot's own in answers to it, for 15 minutes."""

    id: Id
    application_id: Id
    type: int
    token: str = Field(repr=False)
    channel_id: Id
    data: InteractionData
    guild_id: Id | None = None
    context: int | None = None  # 0 server, 1 direct message with the bot, 2 elsewhere
    member: Member | None = None
    user: Person | None = None
    message: Quoted | None = None


class Channel(Payload):
    """A channel or thread."""

    id: Id
    type: int = 0
    guild_id: Id | None = None
    last_message_id: Id | None = None


class RoleTags(Payload):
    """Whose role it is, for roles that belong to a bot."""

    bot_id: Id | None = None


class Role(Payload):
    """A role of a server."""

    id: Id
    tags: RoleTags | None = None


class Guild(Payload):
    """GUILD_CREATE, GUILD_DELETE and the guilds of READY; `unavailable` means an outage."""

    id: Id
    unavailable: bool = False
    channels: tuple[Channel, ...] = ()
    threads: tuple[Channel, ...] = ()
    roles: tuple[Role, ...] = ()


class Ready(Payload):
    """READY: a new session begins."""

    guilds: tuple[Guild, ...] = ()
    application: Reference = Reference()
