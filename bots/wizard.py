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
from bots.settings import DEFAULT_FILE, DOTENV, PREFIX, Settings, load
from brain.persona import list_personas

_TRIES = 3  # to paste a token
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
        SettingsError: an answer cannot be right, or a file not be written. Its text shows no secret.
    """
    if file.exists() and not is_overwriting:
        raise NameTaken(f"{file} exists; move it away, or use --force to replace it")
    known = registry.names()
    question = f"Platforms, one or more of: {', '.join(known)}"
    names = list(only) or _names(questions.ask(question, "console"))
    if unknown := [name for name in names if name not in known]:
        raise SettingsError(f"no platform '{unknown[0]}' is installed; there are: {', '.join(known)}")
    slugs = ["banter", *(persona.slug for persona in list_personas(_persona_root()))]
    persona = questions.ask(f"Who speaks, one of: {', '.join(slugs)}", slugs[0])
    if persona not in slugs:
        raise SettingsError(f"no character '{persona}'; there are: {', '.join(slugs)}")
    variables = {
        f"{PREFIX}{name}__{field}".upper(): _secret(questions, name, field)
        for name in names
        for field in sorted(secrets(registry.load(name).Config))
        if registry.load(name).Config.model_fields[field].is_required()
    }
    sections = "".join(f"\n[{name}]\nenabled = true\n" for name in names)
    done = [f"wrote {file}"]
    if variables:
        _write(DOTENV, _with_secrets(DOTENV, variables))
        done.append(f"wrote {', '.join(variables)} to {DOTENV}, which only you can read")
    _write(file, f'{_HEAD}persona = "{persona}"\n{sections}', mode=0o666)
    return [*done, "next: banter doctor, then banter run"]


def _persona_root() -> Path:
    try:
        return load().persona_root
    except SettingsError:  # of a file that is about to be replaced, say
        return Settings().persona_root


def _names(answer: str) -> list[str]:
    return [name for name in re.split(r"[,\s]+", answer) if name]


def _secret(questions: Questions, name: str, field: str) -> str:
    shapes = [
        one for one in registry.load(name).Config.model_fields[field].metadata if isinstance(one, Shape)
    ]
    shape = shapes[0] if shapes else _WORD
    question = f"{name} {field} ({shape.hint})"
    for _ in range(_TRIES):
        value = questions.ask_secret(question).strip()
        if re.fullmatch(shape.pattern, value):
            return value
        question = f"that does not look like one, copy it again; {name} {field} ({shape.hint})"
    raise SettingsError(f"{name}: that {field} does not look like one: {shape.hint}; nothing was written")


def _with_secrets(file: Path, variables: dict[str, str]) -> str:
    """What the file says, these lines replaced or added."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read; move it away and try again") from error
    kept = [line for line in lines if line.partition("=")[0].strip().upper() not in variables]
    return "\n".join([*kept, *(f"{name}={value}" for name, value in variables.items())]) + "\n"


def _write(file: Path, content: str, mode: int = 0o600) -> None:
    """Replace a file as a whole."""
    fresh = file.with_name(f"{file.name}.new")
    try:
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(opened, "w", encoding="utf-8") as out:
            out.write(content)
        fresh.replace(file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}") from error
