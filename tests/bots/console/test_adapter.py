"""The terminal: driven through a pipe of keys, looked at as text."""

import asyncio
import io
from collections.abc import Sequence

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from bots.console.adapter import CommandCompleter, ConsoleAdapter
from bots.messages import Command, Event, Incoming, Outgoing, Usage
from brain.encoding import clean_turn

USAGES = [
    Usage("help", "this list"),
    Usage("persona", "who speaks", ("brisk", "lighthouse")),
    Usage("quit", "leave"),
]


def completed(text: str) -> list[str]:
    found = CommandCompleter(USAGES).get_completions(Document(text), CompleteEvent())
    return [text[: len(text) + one.start_position] + one.text for one in found]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("/", ["/help", "/persona", "/quit"]),
        ("/P", ["/persona"]),
        ("/persona ", ["/persona brisk", "/persona lighthouse"]),
        ("/persona l", ["/persona lighthouse"]),
        ("/help ", []),
        ("hello", []),
        ("", []),
    ],
)
def test_commands_and_their_words_are_completed(text: str, lines: list[str]) -> None:
    assert completed(text) == lines


async def typed(
    keys: str, opening: Sequence[Outgoing] = (), typist: str = "Odile"
) -> tuple[list[Event], str]:
    """Events and screen of a chat in which these keys are typed."""
    events: list[Event] = []

    async def handle(event: Event) -> Outgoing:
        events.append(event)
        return Outgoing("Bye." if event == Command("quit") else "by the sea", speaker="Odile")

    screen = io.StringIO()
    with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
        keyboard.send_text(keys)
        adapter = ConsoleAdapter(handle, USAGES, lambda: typist, clean_turn, Console(file=screen, width=80))
        async with asyncio.timeout(20):
            await adapter.run(opening)
    return events, screen.getvalue()


async def test_lines_become_events_until_quit() -> None:
    events, screen = await typed("hello\r\r  \r/quit\rnever read\r", [Outgoing("Come in.", speaker="Odile")])
    assert events == [Incoming("hello"), Command("quit")]
    assert screen.startswith("Odile: Come in.\n")
    assert "Odile: by the sea\n" in screen


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
async def test_leaving_is_polite(key: str) -> None:
    events, screen = await typed(f"hello\r{key}")
    assert events == [Incoming("hello")]
    assert screen.endswith("Bye.\n")


async def test_a_name_is_never_taken_for_markup() -> None:
    events, _ = await typed("hello\r\x04", typist="Bob [/b]")
    assert events == [Incoming("hello")]
