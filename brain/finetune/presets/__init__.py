"""Recipes for common cases, as TOML files: laptop, gpu, paper."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from brain.errors import ConfigError

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """All presets, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def preset(name: str) -> dict[str, Any]:
    """The keys of `TrainConfig` that a preset sets.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in names():
        nearest = get_close_matches(name, names(), n=1)
        hint = f"did you mean '{nearest[0]}'? " if nearest else ""
        raise ConfigError(f"--preset: there is no '{name}'; {hint}there are: {', '.join(names())}")
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
