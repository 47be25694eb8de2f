"""Flags, recipe and config.toml become one run."""

from pathlib import Path

import pytest

from bots.errors import SettingsError
from bots.finetune import train_config
from bots.settings import Settings
from brain.errors import ConfigError

RECIPE = 'data = ["{data}"]\nout = "from-recipe"\nseed = 5\n[scratch]\nwidth = 64\n[optim]\nlr = 0.5\n'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "chat.jsonl"
    path.write_text('{"turns": ["hi", "hello"]}\n')
    return path


@pytest.fixture
def recipe(tmp_path: Path, data: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(data=data))
    return path


def test_a_flag_wins_over_the_recipe_and_that_over_the_settings(recipe: Path) -> None:
    settings = Settings.model_validate({"finetune": {"eval_every": 7, "optim": {"lr": 0.1, "dropout": 0.2}}})

    config = train_config(settings, recipe, {"seed": 9, "data": [], "dev": None}, from_scratch=True)

    assert (config.seed, config.out, config.eval_every) == (9, Path("from-recipe"), 7)
    assert (config.optim.lr, config.optim.dropout) == (0.5, 0.2)
    assert config.scratch is not None
    assert config.scratch.width == 64


def test_a_run_needs_data_and_a_place(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--data is missing"):
        train_config(Settings(), None, {"base": "starter", "out": tmp_path})
    with pytest.raises(SettingsError, match="--out is missing"):
        train_config(Settings(), None, {"base": "starter", "data": [str(data)]})


def test_missing_files_and_unknown_keys_are_named(tmp_path: Path, data: Path) -> None:
    flags = {"base": "starter", "out": tmp_path}
    with pytest.raises(SettingsError, match=r"none\.jsonl: there is no such file"):
        train_config(Settings(), None, {**flags, "data": ["none.jsonl@0.5"]})
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read"):
        train_config(Settings(), Path("none.toml"), {**flags, "data": [str(data)]})
    odd = tmp_path / "odd.toml"
    odd.write_text("[optim]\nlearning = 1\n[scratch]\n")
    with pytest.raises(ConfigError, match=r"odd\.toml.*unknown key 'optim\.learning'"):
        train_config(Settings(), odd, {"data": [str(data)], "out": tmp_path})


def test_scratch_needs_a_shape(tmp_path: Path, data: Path) -> None:
    bare = tmp_path / "bare.toml"
    bare.write_text("seed = 1\n")

    with pytest.raises(SettingsError, match=r"no \[scratch\] section"):
        train_config(Settings(), bare, {"data": [str(data)], "out": tmp_path}, from_scratch=True)
