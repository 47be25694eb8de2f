"""The slash commands on platforms, through the whole service."""

import json
from pathlib import Path

import pytest
from stage import MakeStage, Stage

from bots.messages import Command, Incoming
from bots.orders import ORDERS
from bots.testing.brains import EchoBrain


async def said(
    stage: Stage, *lines: str, chat: str = "1", user: str = "ann", is_private: bool = True
) -> list[str]:
    """What the bot answers to each line, a slash making a command; one answer each."""
    before = len(stage.sent)
    for line in lines:
        origin = stage.origin(chat, user, is_private=is_private)
        name, _, argument = line[1:].partition(" ")
        await stage.put(Command(name, argument, origin) if line[0] == "/" else Incoming(line, origin))
        await stage.answers(before + 1 + lines.index(line))
    return [message.text for message in stage.sent[before:]]


async def test_retry_says_the_next_best_at_once_and_that_is_remembered(new_stage: MakeStage) -> None:
    brain = EchoBrain()
    stage = new_stage(brain)
    async with stage.running():
        answers = await said(stage, "hello", "/retry", "/retry ", "more")
    assert answers[1] == "again: hello"
    assert answers[2].startswith("That was all")
    assert len(brain.conversations) == 2
    assert [turn.text for turn in brain.conversations[1].turns] == ["hello", "again: hello", "more"]


async def test_undo_takes_back_one_exchange_and_reset_all(new_stage: MakeStage) -> None:
    brain = EchoBrain()
    stage = new_stage(brain)
    async with stage.running():
        answers = await said(stage, "one", "two", "/undo", "three", "/reset", "four")
    assert answers[2] == "Taken back: two"
    assert [turn.text for turn in brain.conversations[2].turns] == ["one", "re: one", "three"]
    assert [turn.text for turn in brain.conversations[3].turns] == ["four"]


async def test_why_tells_the_candidates_and_which_was_chosen(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        told = (await said(stage, "hello", "/why"))[1]
    assert "number 0 was chosen" in told
    assert told.splitlines()[-2:] == [
        "> re: hello (log P -1.00, mmi -0.00)",
        "- again: hello (log P -2.00, mmi -1.00)",
    ]


@pytest.mark.parametrize("name", ["retry", "undo", "why"])
async def test_before_anything_is_said_a_command_says_so(name: str, new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        assert (await said(stage, f"/{name}"))[0].endswith("say something first.")


async def test_start_greets_and_help_lists_all(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await stage.put(Command("start", "", stage.origin()))
        assert (await stage.answers(2))[0] == "Come in."
        listed = (await said(stage, "/help"))[0]
    assert [line.split()[0] for line in listed.splitlines()] == [f"/{name}" for name in ORDERS]


async def test_an_unknown_command_gets_the_nearest(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        assert await said(stage, "/retyr") == ["There is no /retyr; did you mean /retry?"]


async def test_persona_is_chosen_per_chat_and_kept(new_stage: MakeStage, tmp_path: Path) -> None:
    (tmp_path / "brisk").mkdir()
    (tmp_path / "brisk" / "persona.toml").write_text('name = "Brisk"\ngreeting = "In you come!"')
    stage = new_stage()
    async with stage.running():
        assert await said(stage, "/persona brisk") == ["In you come!"]
    async with stage.running():
        await said(stage, "hello")
        await said(stage, "hello", chat="2")
        assert [message.speaker for message in stage.sent[1:]] == ["Brisk", "Odile"]
        assert "You talk with Brisk. There are:" in (await said(stage, "/persona"))[0]


async def test_settings_are_kept_per_chat_and_mistakes_are_named(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await said(stage, "/settings temperature 0.5", "/settings decoding sample")
        told = (await said(stage, "/settings"))[0]
        assert "temperature 0.5 " in told
        assert "decoding sample " in told
        assert "temperature 1.25 " in (await said(stage, "/settings", chat="2"))[0]
        assert "did you mean 'temperature'" in (await said(stage, "/settings temprature 1"))[0]
        assert "less than or equal to 10" in (await said(stage, "/settings temperature 99"))[0]
        await said(stage, "/settings default")
        assert "temperature 1.25 " in (await said(stage, "/settings"))[0]


async def test_in_a_group_only_admins_change_what_concerns_all(new_stage: MakeStage) -> None:
    stage = new_stage(settings={"gates": {"admins": ("bo",)}})
    async with stage.running():
        for line in ("/settings temperature 0.5", "/reset", "/persona banter"):
            [refused] = await said(stage, line, chat="g", user="ann", is_private=False)
            assert refused.startswith("Here only an administrator")
        [done] = await said(stage, "/settings temperature 0.5", chat="g", user="bo", is_private=False)
        assert done == "It is so from now on."


async def test_export_gives_what_is_kept_but_not_before_others(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await said(stage, "hello", chat="g", is_private=False)
        await said(stage, "of somebody else", chat="g", user="bo", is_private=False)
        await said(stage, "/export", "/export ", chat="g", is_private=False)
        assert stage.sent[-1].document is None
        await said(stage, "/export")
    assert stage.sent[-1].document is not None
    kept = json.loads(stage.sent[-1].document.content)
    assert [turn["text"] for turn in kept["turns"]] == ["hello", "re: hello"]


async def test_forget_deletes_all_of_one_person_and_nothing_of_others(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await said(stage, "my secret", "/forget")
        await said(stage, "mine stays", chat="2", user="bo")
        assert (await said(stage, "/why"))[0].endswith("say something first.")
    assert await stage.rows("SELECT text FROM turns") == [("mine stays",), ("re: mine stays",)]
    assert await stage.rows("SELECT count(*) FROM inbox WHERE user_id = 'ann' AND command != 'why'") == [(0,)]
    assert await stage.rows("SELECT count(*) FROM forgotten") == [(1,)]
    for table in ("inbox", "outbox", "replies"):
        assert "my secret" not in str(await stage.rows(f"SELECT * FROM {table}"))


async def test_privacy_tells_what_is_kept(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        assert "/forget deletes it" in (await said(stage, "/privacy"))[0]
