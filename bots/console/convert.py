"""Typed lines to events, outgoing messages to what a terminal shows."""

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from bots.messages import LOCAL, Command, Incoming, Origin, Outgoing, Request, Table

NUMBERS = ("log P", "per token", "mmi")
Clean = Callable[[str], str]  # one line of visible text from any text


def event_from_line(line: str, origin: Origin = LOCAL) -> Request:
    """A line that starts with a slash and a letter is a command, any other is said."""
    text = line.strip()
    if text[:1] == "/" and text[1:2].isalpha():
        name, _, argument = text[1:].partition(" ")
        return Command(name.lower(), argument.strip(), origin)
    return Incoming(text, origin)


def renderable_from_outgoing(message: Outgoing, clean: Clean) -> RenderableType:
    """The bot's turns after its name, notes dimmed, tables below their sentences; all of it cleaned."""
    if message.speaker:
        return Text.assemble((f"{clean(message.speaker)}: ", "bold cyan"), _visible(message.text, clean))
    note = Text(_visible(message.text, clean), style="dim")
    return Group(note, _table(message.table, clean)) if message.table else note


def _visible(text: str, clean: Clean) -> str:
    """Cleaned, but line breaks and the spaces that align columns stay."""
    return "\n".join(" ".join(map(clean, line.split(" "))) for line in text.split("\n"))


def _table(table: Table, clean: Clean) -> RichTable:
    shown = RichTable(box=None, pad_edge=False, header_style="dim")
    for column in table.columns:
        shown.add_column(
            Text(clean(column)), justify="right" if column in NUMBERS else "left", overflow="fold"
        )
    for place, row in enumerate(table.rows):
        style = "bold green" if place == table.marked else "dim" if row[-1] else ""
        shown.add_row(*(Text(clean(cell)) for cell in row), style=style)
    return shown
