"""What a chat platform and the house say to each other; the whole vocabulary of an adapter."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Incoming:
    """Something a person said to the bot."""

    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command: `/persona odile` is Command("persona", "odile")."""

    name: str
    argument: str = ""


Event = Incoming | Command


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column names; `marked` is the row to stand out, -1 for none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: int = -1


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is shown to a person: a turn of the bot when `speaker` is set, else a note of the house."""

    text: str
    speaker: str = ""
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """One command as offered for completion: its name without the slash and the words that may follow."""

    name: str
    summary: str
    choices: tuple[str, ...] = ()


class Handler(Protocol):
    """Answers one event; errors have become words when it returns."""

    async def __call__(self, event: Event) -> Outgoing: ...
