"""A live chat: what stays after say, retry, undo and reset."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bots.cast import Cast
from bots.chat import Chat, seed_at
from brain.build import build
from brain.config import BrainConfig
from brain.errors import EngineBusy
from brain.persona import Persona
from brain.testing import ScriptedEngine

MakeChat = Callable[..., Chat]


def texts(chat: Chat) -> list[str]:
    return [turn.text for turn in chat.turns]


async def test_a_reply_joins_the_conversation(make_chat: MakeChat, engine: ScriptedEngine) -> None:
    chat = make_chat("good evening", "by the sea")
    await chat.say("hello")
    reply = await chat.say("where do you live?")
    assert reply.text == "by the sea"
    assert texts(chat) == ["hello", "good evening", "where do you live?", "by the sea"]
    assert [turn.text for turn in engine.prompts[1].turns] == ["Come in.", *texts(chat)[:3]]


async def test_a_failure_leaves_the_conversation_as_it_was(make_chat: MakeChat) -> None:
    chat = make_chat("good evening", EngineBusy("full"))
    await chat.say("hello")
    with pytest.raises(EngineBusy):
        await chat.say("anyone there?")
    assert texts(chat) == ["hello", "good evening"]


async def test_retry_replaces_the_reply_with_another_seed(
    make_chat: MakeChat, engine: ScriptedEngine
) -> None:
    chat = make_chat("good evening", "oh, hello", "welcome", seed=1)
    await chat.say("hello")
    await chat.retry()
    reply = await chat.retry()
    assert reply is not None
    assert chat.last is reply
    assert texts(chat) == ["hello", "welcome"]
    assert len(set(engine.seeds)) == 3


async def test_retry_asks_again_when_the_same_text_comes_out(
    make_chat: MakeChat, engine: ScriptedEngine
) -> None:
    chat = make_chat("good evening", "good evening", "good evening", "welcome", seed=1)
    await chat.say("hello")
    reply = await chat.retry()
    assert reply is not None
    assert reply.text == "welcome"
    assert len(set(engine.seeds)) == 4


async def test_retry_gives_up_in_the_end(make_chat: MakeChat, engine: ScriptedEngine) -> None:
    chat = make_chat(*["good evening"] * 9)
    await chat.say("hello")
    reply = await chat.retry()
    assert reply is not None
    assert texts(chat) == ["hello", "good evening"]
    assert len(engine.seeds) == 5


@pytest.mark.parametrize("method", ["greedy", "beam"])
async def test_retry_says_something_else_where_nothing_is_drawn(
    method: str, models: Path, odile: Persona, tmp_path: Path
) -> None:
    config = BrainConfig(model=str(models / "forward"), reverse="none", device="cpu")
    brain = build(config)
    chat = Chat(brain, Cast(tmp_path, config, {"method": method}), odile, seed=1)
    first = await chat.say("hello")
    second = await chat.retry()
    await brain.close()
    assert second is not None
    assert second.text != first.text
    assert second.chosen >= 0


async def test_undo_takes_back_an_exchange(make_chat: MakeChat) -> None:
    chat = make_chat("good evening", "by the sea")
    await chat.say("hello")
    await chat.say("where?")
    taken = chat.undo()
    assert taken is not None
    assert taken.text == "where?"
    assert texts(chat) == ["hello", "good evening"]


async def test_with_nothing_said_there_is_nothing_to_take_back(make_chat: MakeChat) -> None:
    chat = make_chat()
    assert chat.undo() is None
    assert await chat.retry() is None


async def test_a_seeded_chat_repeats_itself_after_a_reset(
    make_chat: MakeChat, engine: ScriptedEngine
) -> None:
    chat = make_chat("good evening", "by the sea", "good evening", "by the sea", seed=7)
    for _ in range(2):
        await chat.say("hello")
        await chat.say("where?")
        chat.reset()
    first, second, *again = engine.seeds
    assert again == [first, second]
    assert first != second


def test_no_seed_stays_no_seed() -> None:
    assert seed_at(None, 3) is None
