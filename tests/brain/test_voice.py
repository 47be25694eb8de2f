"""With which weights a character speaks, and what is said when it cannot."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from brain.brain import Brain
from brain.config import BrainConfig, DecodingConfig
from brain.dialogue import Conversation, Turn
from brain.errors import CheckpointError, OtherBase, VoiceError
from brain.persona import Persona, load_persona
from brain.testing import ScriptedEngine, tiny_encoder

ENCODER = tiny_encoder()
ODILE = Persona("Odile", "odile", lora="/loras/odile", reverse_lora="/loras/back")
FOUND = replace(ODILE, is_lora_found=True, reverse_lora=None)
ASKED = Conversation((Turn("hello"),))
MMI = BrainConfig(decoding=DecodingConfig(method="mmi"))


def engines() -> tuple[ScriptedEngine, ScriptedEngine]:
    return ScriptedEngine(ENCODER, ["fine", "good evening"], ["again"]), ScriptedEngine(ENCODER)


async def test_both_models_are_asked_with_the_characters_weights() -> None:
    forward, reverse = engines()
    await Brain(forward, MMI, reverse).reply(ASKED, persona=ODILE)
    assert forward.loras == ["/loras/odile"]
    assert reverse.loras == ["/loras/back"]


async def test_without_a_reverse_model_its_weights_are_not_asked_for() -> None:
    forward, _ = engines()
    assert (await Brain(forward, MMI).prepare(ODILE)).reverse_lora is None


async def test_who_chats_gets_a_sentence_and_the_log_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    forward, reverse = engines()
    brain = Brain(forward, MMI, reverse)
    forward.broken["/loras/odile"] = CheckpointError("/loras/odile/adapter_model.safetensors cannot be read")
    with pytest.raises(VoiceError) as caught:
        await brain.reply(ASKED, persona=ODILE)
    assert str(caught.value) == "Odile has no voice at the moment; /persona lists who else can talk"
    assert "Odile cannot speak: /loras/odile/adapter_model.safetensors cannot be read" in caplog.text
    forward.broken.clear()
    assert (await brain.reply(ASKED, persona=ODILE)).text  # as soon as it is mended


async def test_whoever_starts_the_bot_gets_the_reason_itself() -> None:
    forward, _ = engines()
    forward.broken["/loras/odile"] = OtherBase("another base")
    with pytest.raises(CheckpointError, match="another base"):
        await Brain(forward, MMI).prepare(ODILE, strictly=True)


@pytest.mark.parametrize("strictly", [False, True])
async def test_weights_that_merely_lie_there_are_left_out_over_another_base(
    strictly: bool, caplog: pytest.LogCaptureFixture
) -> None:
    forward, _ = engines()
    brain = Brain(forward, MMI)
    forward.broken["/loras/odile"] = OtherBase("another base")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert (await brain.prepare(FOUND, strictly=strictly)).lora is None
    assert caplog.text.count("Odile speaks without LoRA weights: another base") == 1
    await brain.reply(ASKED, persona=FOUND)
    assert forward.loras[-1] is None


async def test_damaged_weights_that_merely_lie_there_are_no_reason_to_speak_as_another() -> None:
    forward, _ = engines()
    forward.broken["/loras/odile"] = CheckpointError("cut")
    with pytest.raises(VoiceError):
        await Brain(forward, MMI).reply(ASKED, persona=FOUND)


def persona(folder: Path, *lines: str) -> Persona:
    (folder / "persona.toml").write_text("\n".join(['name = "Odile"', *lines]))
    return load_persona(folder)


def test_weights_in_the_characters_folder_are_found_named_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, run = tmp_path / "odile", tmp_path / "runs" / "odile"
    home.mkdir()
    run.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert persona(home).lora is None
    assert persona(home, 'lora = "voice"').lora == str(home / "voice")  # not there: told when it is read
    (home / "lora").mkdir()
    found = persona(home)
    assert (found.lora, found.is_lora_found) == (str(home / "lora"), True)
    named = persona(home, 'lora = "runs/odile"', 'reverse_lora = "lora"')
    assert (named.lora, named.is_lora_found) == (str(run), False)
    assert named.reverse_lora == str(home / "lora")
    assert persona(home, 'lora = "someone/on-the-hub"').lora == "someone/on-the-hub"
    assert persona(home, 'lora = "none"').lora is None
