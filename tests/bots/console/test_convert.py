"""Typed lines to events, messages to what is shown."""

import io

import pytest
from rich.console import Console

from bots.console.convert import event_from_line, renderable_from_outgoing
from bots.messages import Command, Event, Incoming, Outgoing, Table
from brain.encoding import clean_turn


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (" hello ", Incoming("hello")),
        ("/help", Command("help")),
        ("/Persona  old sailor ", Command("persona", "old sailor")),
        ("/ is a slash", Incoming("/ is a slash")),
        ("/1 of them", Incoming("/1 of them")),
    ],
)
def test_a_slash_and_a_letter_begin_a_command(line: str, event: Event) -> None:
    assert event_from_line(line) == event


def shown(message: Outgoing) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable_from_outgoing(message, clean_turn))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_the_bot_says_is_never_taken_for_markup() -> None:
    assert shown(Outgoing("[red]hi[/red] :smile:", speaker="Odile")) == "Odile: [red]hi[/red] :smile:\n"


def test_a_table_shows_every_cell() -> None:
    table = Table(("", "candidate", "log P"), (("0", "[b]one", "-1.00"), ("1", "two", "-2.50")), marked=1)
    text = shown(Outgoing("note", table=table))
    assert all(cell in text for cell in ("note", "candidate", "[b]one", "-1.00", "two", "-2.50"))


def test_nothing_that_is_shown_steers_the_terminal() -> None:
    evil = "a\x1b[2Jb\x07\u202ec"
    table = Table((evil,), ((evil,),))
    text = shown(Outgoing(evil, speaker=evil)) + shown(Outgoing(evil, table=table))
    assert "a[2Jbc" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_lines_and_columns_of_a_note_stay() -> None:
    assert shown(Outgoing("/help    this list\n/why     how")) == "/help    this list\n/why     how\n"
