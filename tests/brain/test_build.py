import asyncio
from pathlib import Path
from threading import current_thread
from threading import enumerate as enumerate_threads

import pytest
import torch

from brain.build import build
from brain.checkpoint import Talker, load_talker
from brain.config import BrainConfig, DecodingConfig
from brain.dialogue import Conversation, Reply, Turn
from brain.errors import CheckpointError, ConfigError
from brain.testing import tiny_encoder, tiny_gpt2

ASKED = Conversation((Turn("do you like tea?"),))
SAMPLED = DecodingConfig(method="mmi", num_candidates=4, max_new_tokens=6)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a forward and a reverse model, as the starter does."""
    folder, encoder = tmp_path_factory.mktemp("pair"), tiny_encoder()
    for seed, role in enumerate(("forward", "reverse")):
        tiny_gpt2(encoder, seed=seed).save_pretrained(folder / role)
    encoder.save(folder / "tokenizer.json")
    return folder


def config(model: Path | str, reverse: str, **options: int) -> BrainConfig:
    return BrainConfig(model=str(model), reverse=reverse, device="cpu", **options)


def answered(settings: BrainConfig) -> Reply:
    async def once() -> Reply:
        brain = build(settings)
        try:
            return await brain.reply(ASKED, decoding=SAMPLED, seed=7)
        finally:
            await brain.close()

    return asyncio.run(once())


def test_a_built_brain_answers_and_the_same_seed_repeats_the_reply(pair: Path) -> None:
    first, again = (answered(config(pair, "none")) for _ in range(2))

    assert first.text
    assert (first.text, first.candidates, first.chosen) == (again.text, again.candidates, again.chosen)


@pytest.mark.parametrize(
    ("model", "reverse", "has_reverse"),
    [(".", "none", False), (".", "auto", True), ("forward", "auto", False), ("forward", "pair", True)],
)
def test_a_reverse_model_is_the_one_beside_or_the_one_named(
    pair: Path, model: str, reverse: str, has_reverse: bool
) -> None:
    brain = build(config(pair / model, str(pair) if reverse == "pair" else reverse))
    asyncio.run(brain.close())

    assert brain.has_reverse is has_reverse


def test_models_load_and_compute_in_one_thread_with_as_many_helpers_as_asked(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    def spy(*args: object, **kwargs: object) -> Talker:
        seen.append((current_thread().name, torch.get_num_threads()))
        return load_talker(*args, **kwargs)

    monkeypatch.setattr("brain.build.load_talker", spy)
    before = torch.get_num_threads()
    try:
        answered(config(pair, "auto", num_threads=1))
    finally:
        torch.set_num_threads(before)

    assert seen == [("model", 1), ("model", 1)]


def test_a_model_that_cannot_be_loaded_leaves_no_thread_behind(pair: Path) -> None:
    before = set(enumerate_threads())

    with pytest.raises(CheckpointError):
        build(config("./no/such/model", "none"))

    left = [thread for thread in enumerate_threads() if thread.name == "model" and thread not in before]
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)


@pytest.mark.parametrize("role", ["forward", "reverse"])
def test_a_model_that_is_not_there_is_named_with_its_role(pair: Path, role: str) -> None:
    missing = "./no/such/model"
    models = (missing, "none") if role == "forward" else (str(pair), missing)

    with pytest.raises(CheckpointError, match=f"^{role} model: there is no model at '{missing}'"):
        build(config(*models))


def test_a_device_that_is_not_there_is_a_configuration_error(pair: Path) -> None:
    with pytest.raises(ConfigError, match="no 'cuda:99'"):
        build(BrainConfig(model=str(pair), device="cuda:99"))


def test_the_starter_brings_its_own_reverse_model() -> None:
    brain = build(BrainConfig(device="cpu"))
    asyncio.run(brain.close())

    assert brain.has_reverse
