"""What every reader yields: messages, in the order of the file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from brain.finetune.rules import Kind


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an export.

    `chat` tells conversations of one file apart; a session never spans two. `time` is in seconds since 1970,
    in whatever zone the export is written in, None where the format has no times. `speaker_id` and `id` are
    the platform's, empty where it has none. `text` is as exported; nothing is cleaned yet.
    """

    speaker: str
    text: str
    time: float | None = None
    kind: Kind = "text"
    chat: str = ""
    speaker_id: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Export:
    """One file being read.

    `reply_role` is the speaker whom the format itself calls the model, "" where it names people.
    `names_people` is false when the format has no names at all, so that any may be given to who replies.
    `has_ids` says that chats and messages have ids that are the same in each export.
    `notes` are sentences for the person who imports; complete only when `messages` has been read to its end.
    """

    messages: Iterator[Message]
    reply_role: str = ""
    names_people: bool = True
    has_ids: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader is given beside the path: options of one format and somewhere to tell its progress."""

    date_order: str = "auto"
    columns: dict[str, str] = field(default_factory=dict)
    on_bytes: Callable[[int], None] = lambda num: None


Reader = Callable[[Path, Reading], Export]
