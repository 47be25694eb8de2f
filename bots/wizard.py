"""`banter init`: a few questions become config.toml and .env; a secret goes into .env and is never shown."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path

from bots import registry
from bots.errors import NameTaken, SettingsError
from bots.messages import Shape
from bots.sections import secrets
from bots.settings import DEFAULT_FILE, DOTENV, PREFIX, load
from brain.persona import list_personas

_WORD = Shape(r"\S+", "one word")
_HEAD = """\
# Settings of Banterbrain. The config.toml of the program's own folder names every key there is, with its
# default. Tokens stand in .env, never here. Check all of it with `banter doctor`, start with `banter run`.

"""


@dataclass(frozen=True, slots=True)
class Questions:
    """How to ask: an open question and one whose answer is hidden."""

    ask: Callable[[str, str], str]  # question, default
    ask_secret: Callable[[str], str]


def at_terminal() -> Questions:
    """Ask on the terminal; without one, answers are read line by line."""
    if sys.stdin.isatty():
        return Questions(_ask, lambda question: getpass(f"{question}: "))
    return Questions(_ask, lambda question: _ask(question, ""))


def _ask(question: str, default: str) -> str:
    print(f"{question} [{default}]: " if default else f"{question}: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or default


def run(
    questions: Questions,
    only: Sequence[str] = (),
    file: Path = DEFAULT_FILE,
    *,
    is_overwriting: bool = False,
) -> list[str]:
    """Ask, then write both files; what was done, line by line.

    Raises:
        NameTaken: the file exists.
        SettingsError: an answer cannot be right; nothing was written. Its text shows no secret.
    """
    if file.exists() and not is_overwriting:
        raise NameTaken(f"{file} exists; move it away, or use --force to replace it")
    known = [name for name in registry.names()]
    names = list(only) or _names(questions.ask(f"Platforms, of: {', '.join(known)}", "console"))
    if unknown := [name for name in names if name not in known]:
        raise SettingsError(f"no platform '{unknown[0]}' is installed; there are: {', '.join(known)}")
    slugs = ["banter", *(persona.slug for persona in list_personas(load().persona_root))]
    persona = questions.ask(f"Who speaks, of: {', '.join(slugs)}", slugs[0])
    if persona not in slugs:
        raise SettingsError(f"no character '{persona}'; there are: {', '.join(slugs)}")
    variables = {
        f"{PREFIX}{name}__{field}".upper(): _secret(questions, name, field)
        for name in names
        for field in sorted(secrets(registry.load(name).Config))
        if registry.load(name).Config.model_fields[field].is_required()
    }
    sections = "".join(f"\n[{name}]\nenabled = true\n" for name in names)
    file.write_text(f'{_HEAD}persona = "{persona}"\n{sections}', encoding="utf-8")
    done = [f"wrote {file}"]
    if variables:
        _write_secrets(DOTENV, variables)
        done.append(f"wrote {', '.join(variables)} to {DOTENV}")
    return [*done, "next: banter doctor, then banter run"]


def _names(answer: str) -> list[str]:
    return [name for name in re.split(r"[,\s]+", answer) if name]


def _secret(questions: Questions, name: str, field: str) -> str:
    shapes = [
        one for one in registry.load(name).Config.model_fields[field].metadata if isinstance(one, Shape)
    ]
    shape = shapes[0] if shapes else _WORD
    value = questions.ask_secret(f"{name} {field} ({shape.hint})").strip()
    if not re.fullmatch(shape.pattern, value):
        raise SettingsError(f"{name}: that {field} does not look like one: {shape.hint}; copy it again")
    return value


def _write_secrets(file: Path, variables: dict[str, str]) -> None:
    """Replace or add lines; only the owner may read the file."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    kept = [line for line in lines if line.partition("=")[0].strip().upper() not in variables]
    content = "\n".join([*kept, *(f"{name}={value}" for name, value in variables.items())]) + "\n"
    fresh = file.with_name(f"{file.name}.new")
    with os.fdopen(
        os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as out:
        out.write(content)
    fresh.replace(file)
