"""Characters with LoRA weights of their own, switched in a chat: real models, no restart."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from stage import Stage

from bots.cast import Cast
from bots.chat import Chat
from bots.dispatch import Dispatcher
from bots.messages import Command, Incoming
from bots.testing.brains import EchoBrain
from brain.brain import Brain
from brain.build import build
from brain.config import BrainConfig, DecodingConfig
from brain.engine.shape import GPT2Shape
from brain.errors import VoiceError
from brain.lora import note_base
from brain.persona import DEFAULT_PERSONA, Persona
from brain.testing import random_lora

SHAPE = GPT2Shape(2, 4, 32, 128, 128)
LINES = ("hello there", "do you like tea?", "where do you come from?")


@pytest.fixture
def config(models: Path) -> BrainConfig:
    decoding = DecodingConfig(method="sample", num_candidates=4, max_new_tokens=12, min_new_tokens=6)
    return BrainConfig(model=str(models), decoding=decoding)


@pytest.fixture
async def brain(config: BrainConfig) -> AsyncIterator[Brain]:
    brain = build(config)
    yield brain
    await brain.close()


@pytest.fixture
def cast(tmp_path: Path, config: BrainConfig) -> Cast:
    """Three characters: two with a voice, one with that of another base."""
    for seed, name in enumerate(("ann", "bo", "cy")):
        folder = tmp_path / "people" / name
        random_lora(folder / "lora", SHAPE, seed=seed)
        (folder / "persona.toml").write_text(f'name = "{name.title()}"\ngreeting = "I am {name}."')
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").write_bytes(b"others")
    note_base(tmp_path / "people" / "cy" / "lora", str(other), other, reverse=False)
    return Cast(tmp_path / "people", config)


async def answers(dispatcher: Dispatcher) -> list[str]:
    return [(await dispatcher(Incoming(line))).text for line in LINES]


def talk(brain: Brain, cast: Cast, persona: Persona = DEFAULT_PERSONA) -> Dispatcher:
    return Dispatcher(Chat(brain, cast, persona, seed=7))


async def test_persona_lists_and_switches_voices_in_a_running_chat(brain: Brain, cast: Cast) -> None:
    alone = {name: await answers(talk(brain, cast, cast.find(name))) for name in ("banter", "ann", "bo")}
    assert alone["ann"] != alone["bo"] != alone["banter"] != alone["ann"]

    chat = talk(brain, cast)
    assert (await chat(Command("persona"))).text.endswith("There are: banter, ann, bo, cy")
    for name in ("ann", "bo", "banter", "bo"):
        said = (await chat(Command("persona", name))).text
        assert said == (f"I am {name}." if name != "banter" else "You talk with Banter now.")
        await chat(Command("reset"))
        assert await answers(chat) == alone[name]


async def test_a_voice_replaced_on_disk_is_heard_in_the_next_reply(
    brain: Brain, cast: Cast, tmp_path: Path
) -> None:
    chat = talk(brain, cast, cast.find("ann"))
    before = await answers(chat)
    await chat(Command("reset"))
    random_lora(tmp_path / "people" / "ann" / "lora", SHAPE, seed=1)  # as bo's
    bo = replace(cast.find("bo"), greeting=cast.find("ann").greeting)  # which is part of the history
    assert await answers(chat) == await answers(talk(brain, cast, bo)) != before


async def test_who_cannot_speak_is_not_chosen_and_the_chat_goes_on(
    brain: Brain, cast: Cast, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chat = talk(brain, cast, cast.find("ann"))
    weights = tmp_path / "people" / "bo" / "lora" / "adapter_model.safetensors"
    weights.write_bytes(b"damaged")

    answer = await chat(Command("persona", "bo"))

    assert answer.text == "That did not work: Bo has no voice at the moment; /persona lists who else can talk"
    assert str(weights) in caplog.text
    assert (await chat(Incoming("hello"))).speaker == "Ann"


async def test_the_voice_of_another_base_is_left_out_unless_it_is_named(
    brain: Brain, cast: Cast, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cy = replace(cast.find("cy"), greeting="")  # which would be part of the history
    assert await answers(talk(brain, cast, cy)) == await answers(talk(brain, cast))
    assert caplog.text.count("Cy speaks without LoRA weights") == 1
    (tmp_path / "people" / "cy" / "persona.toml").write_text('name = "Cy"\nlora = "lora"')
    answer = await talk(brain, cast, cast.find("cy"))(Incoming("hello"))
    assert answer.text.startswith("That did not work: Cy has no voice")


async def test_the_command_says_what_is_wrong_with_the_voice_it_shall_start_with(
    brain: Brain, cast: Cast, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "people" / "ann" / "lora")
    (tmp_path / "people" / "ann" / "persona.toml").write_text('name = "Ann"\nlora = "voice"')
    with pytest.raises(Exception, match=r"there are no LoRA weights at '.*ann/voice'"):
        await brain.prepare(cast.find("ann"), strictly=True)


def test_who_needs_a_model_of_their_own_is_not_offered_here(cast: Cast, tmp_path: Path) -> None:
    (tmp_path / "people" / "bo" / "persona.toml").write_text('name = "Bo"\nmodel = "runs/bo"')
    assert cast.slugs() == ("banter", "ann", "cy")
    assert cast.summary() == (
        "characters: banter, ann, cy; not here, since they have a model of their own: bo (runs/bo)"
    )


class MuteBrain(EchoBrain):
    """Knows one who cannot speak."""

    async def prepare(self, persona: Persona) -> Persona:
        if persona.slug == "mute":
            raise VoiceError("Mute has no voice at the moment; /persona lists who else can talk")
        return persona


async def test_on_a_platform_too_the_one_before_stays(tmp_path: Path) -> None:
    (tmp_path / "mute").mkdir()
    (tmp_path / "mute" / "persona.toml").write_text('name = "Mute"\ngreeting = "..."')
    stage = Stage(tmp_path, MuteBrain())
    async with stage.running():
        await stage.put(Command("persona", "mute", stage.origin()))
        assert (await stage.answers(1))[0].startswith("Mute has no voice")
        await stage.put(Incoming("hello", stage.origin()))
        await stage.answers(2)
        assert stage.sent[1].speaker == "Odile"
