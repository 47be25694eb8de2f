"""Presets are valid recipes, and the paper's is what the paper says."""

import math

import pytest

from brain.errors import ConfigError
from brain.finetune.config import TrainConfig
from brain.finetune.optim import lr_factor
from brain.finetune.presets import names, preset


@pytest.mark.parametrize("name", names())
def test_a_preset_holds_known_keys_only(name: str) -> None:
    config = TrainConfig.parse({**preset(name), "data": ["x"], "out": "x", "base": "starter"}, name)

    assert config != TrainConfig.parse({"data": ["x"], "out": "x", "base": "starter"}, "plain")


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match="no 'labtop'; did you mean 'laptop'\\? there are: gpu, laptop, paper"
    ):
        preset("labtop")


def test_the_papers_learning_rate_peaks_after_its_warm_up() -> None:
    optim = TrainConfig.parse(
        {**preset("paper"), "data": ["x"], "out": "x", "base": "starter"}, "paper"
    ).optim

    rates = [optim.lr * lr_factor(step, 10**6, optim, 1024) for step in (0, 15_998, 15_999, 16_000, 64_000)]

    assert max(rates) == rates[2] == pytest.approx(1e-5 * 1e4 / math.sqrt(1024 * 16_000))
    assert (optim.epochs, optim.row_lens) == (5, (128,))
