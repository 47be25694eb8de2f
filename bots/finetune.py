"""`banter finetune`: flags, a recipe, a preset and config.toml become one run of `brain.finetune.train`."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bots.errors import SettingsError
from bots.sections import merged
from bots.settings import Settings
from brain.finetune.config import TrainConfig


def train_config(
    settings: Settings,
    recipe: Path | None,
    flags: Mapping[str, object],
    from_scratch: bool = False,
    preset: str | None = None,
) -> TrainConfig:
    """Merge the values of one run.

    A flag wins over the recipe, that over the preset (both are named by flags), and that over the environment
    and config.toml.

    Args:
        recipe: a TOML file with keys of TrainConfig.
        from_scratch: the recipe must have a [scratch] section.
        flags: by key of TrainConfig; None stands for a flag that was not given.
        preset: laptop | gpu | paper.
    Raises:
        SettingsError: the recipe cannot be read, or --data or --out is missing.
        ConfigError: a value is unknown or out of range.
    """
    from brain.finetune import presets

    given = {key: value for key, value in flags.items() if value not in (None, [], ())}
    from_file = _read(recipe) if recipe else {}
    base: dict[str, Any] = settings.finetune.model_dump()
    if settings.seed is not None:
        base["seed"] = settings.seed
    values = merged(base, presets.preset(preset) if preset else {})
    values = {**merged(values, from_file), **given}
    if from_scratch and "scratch" not in from_file:
        raise SettingsError(f"{recipe}: has no [scratch] section, which says how large the new model is")
    for key in ("data", "out"):
        if key not in values:
            raise SettingsError(
                f"nothing to train: --{key} is missing, on the command line and in the recipe"
            )
    _check_files([*values["data"], *values.get("dev", ()), *values.get("general", ())])
    _check_files(values["replay"].get("data", ()))
    return TrainConfig.parse(values, str(recipe or "banter finetune"))


def train(config: TrainConfig) -> Path:
    """Run the recipe, then look whether the model recites; returns the folder of the trained model.

    Raises:
        TrainingError: it recites more than memorisation.max_copied_share and memorisation.on_excess is fail.
    """
    from brain.finetune.examination import examine
    from brain.finetune.train import run

    folder = run(config)
    examine(config)
    return folder


def _read(recipe: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(recipe.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{recipe}: cannot be read as a recipe: {error}") from error


def _check_files(names: list[str]) -> None:
    from brain.finetune.sessions import split_rate

    for name in names:
        path, _ = split_rate(str(name))
        if not path.is_file():
            raise SettingsError(f"{path}: there is no such file; --data takes FILE or FILE@RATE")
