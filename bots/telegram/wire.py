"""What we read of an update of the Bot API, each field checked; the rest of it is never looked at.

What says who, where and what must be sound; what only adds to a message is left out where it is not.
"""

from contextlib import suppress
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from bots.messages import storable

# What `getUpdates` and `setWebhook` ask for.
ALLOWED_UPDATES = ("message", "edited_message", "callback_query", "message_reaction", "my_chat_member")

_MAX_ID = 2**53  # beyond this JSON numbers are not exact
_MAX_TIME = 32_503_680_000  # the year 3000
Id = Annotated[int, Field(ge=-_MAX_ID, le=_MAX_ID)]
Time = Annotated[int, Field(ge=0, le=_MAX_TIME)]
Text = Annotated[str, BeforeValidator(lambda given: storable(given) if isinstance(given, str) else given)]


class Wire(BaseModel):
    """Base of all: frozen, unknown fields ignored, values never shown in errors."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Person(Wire):
    """User."""

    id: Id
    is_bot: bool = False
    first_name: Text = ""
    last_name: Text = ""


class Chat(Wire):
    """Chat."""

    id: Id
    type: Text = ""
    title: Text = ""


class Entity(Wire):
    """MessageEntity; offset and length are UTF-16 units."""

    type: Text
    offset: int
    length: int
    user: Person | None = None


def _sound_ones(given: object) -> object:
    """Without the entities that cannot be read: a message is worth more than a link in it."""
    if not isinstance(given, list | tuple):
        return ()
    found = []
    for one in given:
        with suppress(ValidationError):
            found.append(Entity.model_validate(one))
    return tuple(found)


def _or_none(given: object, validate: ValidatorFunctionWrapHandler) -> object:
    try:
        return validate(given)
    except ValidationError:
        return None


Entities = Annotated[tuple[Entity, ...], BeforeValidator(_sound_ones)]


class Sticker(Wire):
    """Sticker."""

    emoji: Text = ""


class Replied(Wire):
    """The message that one replies to."""

    message_id: Id
    sender: Person | None = Field(None, alias="from")
    forum_topic_created: Any = None  # then it is the head of the topic, to which nobody replied


class Place(Wire):
    """Where a message stands; all there is of one that became inaccessible."""

    message_id: Id
    chat: Chat
    message_thread_id: Id | None = None
    is_topic_message: bool = False  # else the thread id only names a chain of replies


class Message(Place):
    """Message."""

    date: Time
    edit_date: Time = 0
    sender: Person | None = Field(None, alias="from")
    sender_chat: Chat | None = None
    text: Text = ""
    caption: Text = ""
    entities: Entities = ()
    caption_entities: Entities = ()
    sticker: Annotated[Sticker | None, WrapValidator(_or_none)] = None
    reply_to_message: Annotated[Replied | None, WrapValidator(_or_none)] = None
    migrate_to_chat_id: Id | None = None
    migrate_from_chat_id: Id | None = None


class Press(Wire):
    """CallbackQuery: a button below a message was pressed."""

    id: Text
    sender: Person = Field(alias="from")
    message: Place | None = None
    data: Text = ""


class ReactionKind(Wire):
    """ReactionType; the emoji is empty for custom and paid ones."""

    emoji: Text = ""


class Reacted(Wire):
    """MessageReactionUpdated."""

    chat: Chat
    message_id: Id
    date: Time
    user: Person | None = None
    actor_chat: Chat | None = None
    old_reaction: tuple[ReactionKind, ...] = ()
    new_reaction: tuple[ReactionKind, ...] = ()


class Member(Wire):
    """ChatMember."""

    status: Text
    is_member: bool = False

    @property
    def is_present(self) -> bool:
        """Whether this one can talk or at least read there."""
        return self.status in ("creator", "administrator", "member") or (
            self.status == "restricted" and self.is_member
        )


class Membership(Wire):
    """ChatMemberUpdated, of the bot itself."""

    chat: Chat
    date: Time
    sender: Person = Field(alias="from")
    old_chat_member: Member
    new_chat_member: Member


class Update(Wire):
    """Update."""

    message: Message | None = None
    edited_message: Message | None = None
    callback_query: Press | None = None
    message_reaction: Reacted | None = None
    my_chat_member: Membership | None = None


_UPDATE_ID: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, le=_MAX_ID)])


def update_id_from(raw: object) -> int | None:
    """An update's own number, readable even when the rest is not; None if it is not either."""
    try:
        return _UPDATE_ID.validate_python(raw.get("update_id") if isinstance(raw, dict) else None)
    except ValidationError:
        return None


def complaint_from(error: ValidationError) -> str:
    """Where an update differs from what the Bot API promises, without any of its content."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'update'}: {first['type']}"
