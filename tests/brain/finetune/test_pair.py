"""A trained pair becomes one folder that the brain loads, in half precision, as transformers does."""

from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from brain.build import build
from brain.config import BrainConfig
from brain.dialogue import Turn
from brain.errors import CheckpointError
from brain.finetune.models import write_model
from brain.finetune.pair import write_pair
from brain.testing import tiny_encoder, tiny_gpt2


async def test_a_pair_is_ordinary_folders_and_scores_as_transformers_does(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    for seed, role in enumerate(("f", "r")):
        write_model(tiny_gpt2(encoder, seed=seed), encoder, tmp_path / role)

    write_pair(tmp_path / "f", tmp_path / "r", tmp_path / "pair")

    assert sorted(path.name for path in (tmp_path / "pair").iterdir()) == [
        "forward",
        "reverse",
        "tokenizer.json",
    ]
    for role in ("forward", "reverse"):
        stored = GPT2LMHeadModel.from_pretrained(tmp_path / "pair" / role)
        assert stored.dtype == torch.float16
        assert stored.config.use_cache
    brain = build(BrainConfig(model=str(tmp_path / "pair"), reverse=str(tmp_path / "pair")))
    score = await brain.score([Turn("hello"), Turn("do you like tea?")], "no, i do not.")
    await brain.close()
    assert score.reverse is not None
    assert score.reverse != pytest.approx(score.forward)


def test_models_with_different_tokenizers_are_no_pair(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    for role in ("f", "r"):
        write_model(tiny_gpt2(encoder), encoder, tmp_path / role)
    (tmp_path / "r/tokenizer.json").write_text("{}")

    with pytest.raises(CheckpointError, match="different tokenizers"):
        write_pair(tmp_path / "f", tmp_path / "r", tmp_path / "pair")

    assert not (tmp_path / "pair").exists()
