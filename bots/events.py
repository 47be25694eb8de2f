"""What a platform tells us. Adapters take these names from `bots.messages`, the one door.

Ids are the platform's own, as strings. Text holds no lone surrogates and no NUL: `storable` sees to that.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class ChatKey:
    """One place of talk, as the key of all that is stored: what is said in one never reaches another."""

    adapter: str  # name of the adapter
    bot: str  # the bot's own id there
    chat: str
    thread: str = ""  # topic or thread within the chat


@dataclass(frozen=True, slots=True)
class MessageRef:
    """A message on the platform, for what is done to it later."""

    chat: ChatKey
    id: str


@dataclass(frozen=True, slots=True)
class User:
    """Who acts; the id is empty where a platform does not tell."""

    id: str
    name: str = ""  # as shown to others; chosen by the person, so never to be trusted
    is_bot: bool = False
    roles: tuple[str, ...] = ()  # ids, where a platform has roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an event comes from: the head that all events share."""

    key: str  # the same when the platform tells the same thing again, unique within adapter and bot
    chat: ChatKey
    when: datetime  # time-zone aware, the platform's clock
    user: User = User("")
    is_private: bool = False  # nobody but the user and the bot reads along
    message_id: str = ""  # of the message itself; empty for what is no message
    guild: str = ""  # id of the server or community that the chat belongs to
    answer_by: str = field(default="", repr=False)  # comes back in Outgoing; may be a short-lived token

    def __post_init__(self) -> None:
        if self.when.utcoffset() is None:
            raise ValueError("when needs a time zone")


# The one person at the terminal of `banter chat`, where nothing is stored: a Sink refuses an empty key.
LOCAL = Origin(
    key="",
    chat=ChatKey("console", "local", "local"),
    when=datetime.fromtimestamp(0, UTC),
    user=User("local"),
    is_private=True,
)


@dataclass(frozen=True, slots=True)
class Incoming:
    """Something a person said: text or caption, the bot's own mention taken out."""

    text: str
    origin: Origin = LOCAL
    is_addressed: bool = True  # private, mentioned, named or replied to; only then an answer is owed
    reply_to: str = ""  # id of the message it replies to


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command: `/persona odile` is Command("persona", "odile")."""

    name: str  # lower case, without the slash
    argument: str = ""
    origin: Origin = LOCAL


@dataclass(frozen=True, slots=True)
class Edited:
    """The message `origin.message_id` says this now."""

    text: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Reaction:
    """Emoji that `origin.user` put on or took off a message, a press of a feedback button included."""

    message_id: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Deleted:
    """Messages taken away by whomever; they count as never said."""

    message_ids: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Presence:
    """The bot was let in or unblocked, or else removed or blocked."""

    is_present: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Moved:
    """`origin.chat` goes on under another key: a group that became a supergroup."""

    to: ChatKey
    origin: Origin


Request = Incoming | Command  # what may be answered
Event = Incoming | Command | Edited | Reaction | Deleted | Presence | Moved


def is_named(text: str, names: Iterable[str]) -> bool:
    """Whether one of the bot's names stands in a text as a word of its own; case does not count."""
    folded = text.casefold()
    words = [re.escape(name.strip().casefold()) for name in names if name.strip()]
    return any(re.search(rf"(?<!\w){word}(?!\w)", folded) for word in words)


def storable(text: str) -> str:
    """Any text as one that every database and protocol takes: lone surrogates and NUL become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "\ufffd")
