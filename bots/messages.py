"""What a chat platform and the house say to each other; the whole vocabulary of an adapter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from bots.events import (
    LOCAL,
    ChatKey,
    Command,
    Deleted,
    Edited,
    Event,
    Incoming,
    MessageRef,
    Moved,
    Origin,
    Presence,
    Reaction,
    Request,
    User,
    is_named,
    storable,
)

__all__ = [
    "API_VERSION",
    "LOCAL",
    "Adapter",
    "AdapterConfig",
    "Caps",
    "ChatKey",
    "Command",
    "Deleted",
    "Document",
    "Edited",
    "Event",
    "Finding",
    "Handler",
    "Health",
    "Incoming",
    "Limits",
    "MessageRef",
    "Moved",
    "Origin",
    "Outgoing",
    "Presence",
    "Rate",
    "Reaction",
    "Request",
    "Shape",
    "Sink",
    "Table",
    "Usage",
    "User",
    "is_named",
    "storable",
]

API_VERSION = 1  # of this file and of events.py; raised when an adapter written for the old one would fail


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column names; `marked` is the row to stand out, -1 for none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: int = -1


@dataclass(frozen=True, slots=True)
class Document:
    """A text file that goes with a message."""

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is shown to a person: a turn of the bot when `speaker` is set, else a note of the house.

    A platform whose caps lack what a field asks for leaves the field out.
    """

    text: str  # plain, no markup; an adapter sees to it that nobody is pinged
    speaker: str = ""
    table: Table | None = None
    chat: ChatKey = LOCAL.chat
    reply_to: str = ""  # id of a message in the chat; sent without it when that one is gone
    nonce: str = ""  # the same on every attempt: what caps.nonce platforms drop repeats by
    answer_by: str = field(default="", repr=False)  # the request's; ignored once it is stale
    media_url: str = ""  # https, a picture or GIF; alone when text is empty
    document: Document | None = None
    is_for_asker: bool = False  # nobody but who gave the command of `answer_by` sees it, where a platform can
    asks_feedback: bool = False  # 👍 and 👎 buttons below; a press comes back as a Reaction


@dataclass(frozen=True, slots=True)
class Usage:
    """One command as offered for completion: its name without the slash and the words that may follow."""

    name: str
    summary: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """What a secret of an adapter's Config looks like: `token: Annotated[SecretStr, Shape(...)]`.

    Whatever looks otherwise is warned of before the platform is asked; it is not refused.
    """

    pattern: str  # of the whole
    hint: str  # for a person


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` messages in any `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a platform takes; the core splits and paces by it."""

    max_len: int  # of one message's text, in `unit`
    unit: Literal["utf16", "characters"] = "characters"  # UTF-16 code units, or code points
    per_chat: Rate | None = None
    per_group: Rate | None = None  # on top of per_chat, in chats that are not private
    overall: Rate | None = None
    typing_s: float = 5.0  # how long a sign of typing stays

    def __post_init__(self) -> None:
        if self.max_len < 2:
            raise ValueError("max_len must be at least 2: one emoji takes two UTF-16 units")

    def length(self, text: str) -> int:
        """How much of max_len a text takes."""
        return len(text) if self.unit == "characters" else len(text) + sum(char > "\uffff" for char in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What a platform can do beyond receiving and sending text.

    The first six stand for methods: each has a Protocol in `bots.abilities` and holds when it is set.
    """

    edit: bool = False
    delete: bool = False
    react: bool = False
    typing: bool = False
    publish_commands: bool = False
    check: bool = False
    nonce: bool = False  # two sends with one nonce give one message, for some minutes
    media: bool = False
    documents: bool = False
    buttons: bool = False
    speakers: bool = False  # shows Outgoing.speaker as the sender


@dataclass(frozen=True, slots=True)
class Health:
    """How an adapter's connection is; the reason is one sentence without secrets."""

    state: Literal["connecting", "connected", "degraded"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor saw; `fix` says what to do about it."""

    level: Literal["ok", "warning", "problem"]
    what: str
    fix: str = ""


class AdapterConfig(BaseModel):
    """Base of every adapter's Config, the keys of its section of config.toml but `enabled`.

    Secrets are top-level fields of type SecretStr; they come from the environment or a file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Sink(Protocol):
    """Where an adapter puts what it hears; each adapter is given its own."""

    async def accept(self, *events: Event) -> None:
        """Return after the durable commit of all: only then acknowledge. Known event keys are ignored.

        Raises:
            Busy: nothing was kept; do not acknowledge, wait `retry_after_s`, offer the same again.
        """

    async def last_seen(self, bot: str) -> Sequence[MessageRef]:
        """The newest accepted message of each live chat of this bot, to ask a platform what was missed."""

    def report(self, health: Health) -> None:
        """Tell how the connection is, whenever that changes; never waits."""


@runtime_checkable
class Adapter(Protocol):
    """One bot on one platform. An instance runs once; after a crash a new one is made."""

    name: ClassVar[str]  # also its section of config.toml and its entry point: a-z, 0-9 and _
    api_version: ClassVar[int]
    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: Any) -> None:
        """Take a valid `Config`; no connection, no waiting."""

    @property
    def caps(self) -> Caps: ...

    @property
    def limits(self) -> Limits: ...

    async def run(self, sink: Sink) -> None:
        """Connect, offer events to the sink until cancelled; reconnect by itself, with capped back-off.

        Returns only when there will never be another event, as on a console that was closed.
        Raises:
            AdapterUnauthorized: final. Any other error: the adapter is made anew after a pause.
        """

    async def send(self, message: Outgoing) -> MessageRef:
        """Send ONE platform message within the limits, while `run` runs; the core has split and paced.

        Raises:
            DeliveryError: RetryAfter, SendFailed, SendRefused (MessageTooLong) or ChatGone.
            AdapterUnauthorized: the platform refuses the bot itself; nothing else is raised.
        """


class Handler(Protocol):
    """Answers one request; errors have become words when it returns."""

    async def __call__(self, event: Request) -> Outgoing: ...
