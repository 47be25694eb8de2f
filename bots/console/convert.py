"""Typed lines to events, outgoing messages to what a terminal shows."""

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from bots.messages import Command, Event, Incoming, Outgoing, Table

NUMBERS = ("log P", "per token", "mmi")


def event_from_line(line: str) -> Event:
    """A line that starts with a slash and a letter is a command, any other is said."""
    text = line.strip()
    if text[:1] == "/" and text[1:2].isalpha():
        name, _, argument = text[1:].partition(" ")
        return Command(name.lower(), argument.strip())
    return Incoming(text)


def renderable_from_outgoing(message: Outgoing) -> RenderableType:
    """The bot's turns after its name, notes dimmed, tables below their sentences."""
    if message.speaker:
        return Text.assemble((f"{message.speaker}: ", "bold cyan"), message.text)
    note = Text(message.text, style="dim")
    return Group(note, _table(message.table)) if message.table else note


def _table(table: Table) -> RichTable:
    shown = RichTable(box=None, pad_edge=False, header_style="dim")
    for column in table.columns:
        shown.add_column(column, justify="right" if column in NUMBERS else "left", overflow="fold")
    for place, row in enumerate(table.rows):
        style = "bold green" if place == table.marked else "dim" if row[-1] else ""
        shown.add_row(*(Text(cell) for cell in row), style=style)
    return shown
