"""The slash commands on platforms, through the whole service."""

import json
from pathlib import Path

import pytest
from stage import MakeStage, Stage

from bots import people
from bots.database import Database
from bots.messages import Command, Incoming
from bots.options import DatabaseSettings
from bots.orders import OF_ANOTHER, ORDERS
from bots.rights import UNNAMED
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
        assert "a finite number" in (await said(stage, "/settings temperature nan"))[0]
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


@pytest.mark.parametrize("line", ["/undo", "/retry"])
async def test_in_a_group_an_exchange_is_changed_by_whom_it_belongs_to_or_an_admin(
    line: str, new_stage: MakeStage
) -> None:
    stage = new_stage(settings={"gates": {"admins": ("cy",)}})
    async with stage.running():
        for user in ("ann", "cy"):
            await said(stage, "hello", chat="g", user="ann", is_private=False)
            [refused] = await said(stage, line, chat="g", user="bo", is_private=False)
            assert refused == OF_ANOTHER
            [done] = await said(stage, line, chat="g", user=user, is_private=False)
            assert done == {"/undo": "Taken back: hello", "/retry": "again: hello"}[line]


async def test_without_admins_an_exchange_is_still_its_persons_own(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await said(stage, "hello", chat="g", user="ann", is_private=False)
        assert await said(stage, "/undo", chat="g", user="bo", is_private=False) == [OF_ANOTHER]


async def test_what_a_person_set_in_private_is_exported_and_forgotten(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await said(stage, "/settings temperature 0.5", "/persona banter", "hello", "/export")
        assert stage.sent[-1].document is not None
        [kept] = json.loads(stage.sent[-1].document.content)["private_chats"]
        assert kept == {"chat": "1", "thread": "", "persona": "banter", "settings": {"temperature": 0.5}}
        await said(stage, "/forget")
        assert "temperature 1.25 " in (await said(stage, "/settings"))[0]


async def test_forgotten_from_outside_nothing_of_the_private_chat_is_left(
    new_stage: MakeStage, database: DatabaseSettings
) -> None:
    stage = new_stage()
    async with stage.running():
        await said(stage, "hello", "/settings temperature 0.5", chat="chat-of-ann")
        await said(stage, "hello all", chat="g", is_private=False)
        await said(stage, "me too", chat="chat-of-bo", user="bo")
    ours = Database(database)
    assert await ours.write(lambda connection: people.forget(connection, "stage", "ann")) == 4
    await ours.close()
    assert await stage.rows("SELECT chat FROM chats ORDER BY chat") == [("chat-of-bo",), ("g",)]
    for table in ("inbox", "outbox", "buckets", "turns"):
        assert "ann" not in str(await stage.rows(f"SELECT * FROM {table}"))


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


async def test_forgotten_words_are_in_no_file(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        await said(stage, "SECRETWORDS", chat="1")
        await said(stage, "other", chat="2", user="bo")
        await said(stage, "/forget", chat="1")
        kept = {file.name: file.read_bytes() for file in tmp_path.glob("banter.db*")}  # noqa: ASYNC240
        assert "banter.db" in kept
        assert [name for name, content in kept.items() if b"SECRETWORDS" in content] == []


async def test_what_is_said_after_forget_is_answered_even_if_it_was_waiting_then(
    new_stage: MakeStage,
) -> None:
    stage = new_stage(EchoBrain(0.2))
    async with stage.running():
        await stage.put(Incoming("one", stage.origin()), Incoming("two", stage.origin()))
        await stage.put(Command("forget", "", stage.origin()), Incoming("three", stage.origin()))
        answers = await stage.answers(4)
    assert [answers[0], answers[1], answers[3]] == ["re: one", "re: two", "re: three"]
    assert await stage.rows("SELECT text FROM turns") == [("three",), ("re: three",)]


@pytest.mark.parametrize("name", ["export", "forget"])
async def test_whom_the_platform_does_not_name_reaches_nobodys_data(name: str, new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await stage.put(Incoming("a secret", stage.origin("1", "ann")))
        await stage.put(Incoming("who am I?", stage.origin("2", "")))
        await stage.answers(2)
        await stage.put(Command(name, origin=stage.origin("2", "")))
        assert (await stage.answers(3))[-1] == UNNAMED
        assert stage.sent[-1].document is None
    assert await stage.rows("SELECT count(*) FROM turns") == [(4,)]


async def test_privacy_tells_what_is_kept(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        assert "/forget deletes it" in (await said(stage, "/privacy"))[0]
