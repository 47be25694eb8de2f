"""The slash commands, through the dispatcher as an adapter sees them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bots import commands
from bots.chat import Chat
from bots.dispatch import Dispatcher
from bots.messages import Command, Incoming, Outgoing
from brain.errors import EngineBusy
from brain.testing import ScriptedEngine

MakeChat = Callable[..., Chat]


async def test_text_is_answered_by_the_character(make_chat: MakeChat) -> None:
    answer = await Dispatcher(make_chat("good evening"))(Incoming("hello"))
    assert answer == Outgoing("good evening", speaker="Odile")


async def test_what_goes_wrong_is_told_in_words(make_chat: MakeChat) -> None:
    answer = await Dispatcher(make_chat(EngineBusy("the queue is full")))(Incoming("hello"))
    assert answer == Outgoing("That did not work: the queue is full")


async def test_an_unknown_command_gets_the_nearest(make_chat: MakeChat) -> None:
    answer = await Dispatcher(make_chat())(Command("retyr"))
    assert answer.text == "There is no /retyr; did you mean /retry?"


async def test_what_was_typed_is_told_without_what_steers_a_terminal(make_chat: MakeChat) -> None:
    dispatcher = Dispatcher(make_chat("good evening"))
    await dispatcher(Incoming("a\x1b[2J\u202eb"))
    assert (await dispatcher(Command("undo"))).text == "Taken back: a[2Jb"
    assert (await dispatcher(Command("x\x1b[2Jx"))).text.startswith("There is no /x[2Jx;")


async def test_what_went_wrong_is_one_visible_line(make_chat: MakeChat) -> None:
    answer = await Dispatcher(make_chat(EngineBusy("full\n\x1b[2J")))(Incoming("hello"))
    assert answer.text == "That did not work: full [2J"


async def test_help_lists_every_command(make_chat: MakeChat) -> None:
    answer = await Dispatcher(make_chat())(Command("help"))
    assert [line.split()[0] for line in answer.text.splitlines()] == [
        f"/{name}" for name in commands.COMMANDS
    ]


@pytest.mark.parametrize("name", ["retry", "undo", "why"])
async def test_before_anything_is_said_a_command_says_so(name: str, make_chat: MakeChat) -> None:
    answer = await Dispatcher(make_chat())(Command(name))
    assert answer.text.startswith("There is no")


async def test_persona_changes_who_speaks(make_chat: MakeChat, tmp_path: Path) -> None:
    (tmp_path / "brisk").mkdir()
    (tmp_path / "brisk" / "persona.toml").write_text('name = "Brisk"\ngreeting = "In you come!"')
    chat = make_chat()
    assert commands.usages(chat)[4].choices == ("banter", "brisk")
    answer = await Dispatcher(chat)(Command("persona", "brisk"))
    assert answer == Outgoing("In you come!", speaker="Brisk")
    assert chat.persona.name == "Brisk"


async def test_an_unknown_character_is_told_in_words(make_chat: MakeChat) -> None:
    answer = await Dispatcher(make_chat())(Command("persona", "nobody"))
    assert answer.text.startswith("That did not work: no character 'nobody'")


async def test_why_shows_every_candidate_and_what_was_refused(
    make_chat: MakeChat, engine: ScriptedEngine
) -> None:
    chat = make_chat()
    engine.enqueue("hello", "good evening", "by the sea")
    dispatcher = Dispatcher(chat)
    await dispatcher(Incoming("hello"))
    answer = await dispatcher(Command("why"))
    assert answer.table is not None
    assert [row[1] for row in answer.table.rows] == ["hello", "good evening", "by the sea"]
    assert answer.table.rows[0][-1] == "echo of the user"
    assert answer.table.marked > 0
    assert answer.text.startswith("History: 2 turns, ")  # the greeting is one
    assert "Candidates: 3 different ones, 1 refused" in answer.text
