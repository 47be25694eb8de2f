"""Checks without side effects: settings, database, characters, platforms, with the fix for each finding."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bots import registry, soundness
from bots.abilities import Checks
from bots.errors import AdapterError, BotError, SettingsError
from bots.messages import Finding
from bots.sections import Section, misshapen
from bots.settings import DOTENV, Settings, load
from brain.encoding import clean_turn
from brain.errors import PersonaError
from brain.persona import find_persona

CHECK_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One finding and where it was made."""

    where: str
    finding: Finding

    def to_json(self) -> Mapping[str, str]:
        """For programs."""
        found = self.finding
        return {"where": self.where, "level": found.level, "what": found.what, "fix": found.fix}

    def sentence(self) -> str:
        """For people, with nothing that steers a terminal: the fix on a line of its own."""
        sign = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}[self.finding.level]
        fix = f"\n         -> {clean_turn(self.finding.fix)}" if self.finding.fix else ""
        return f"{sign} {self.where}: {clean_turn(self.finding.what)}{fix}"


async def examine(file: Path | None) -> list[Seen]:
    """All findings, in the order in which a person would mend them."""
    try:
        settings = load(file)
    except SettingsError as error:
        is_variable = str(error).startswith("environment")
        fix = (
            "correct it, in the environment or .env"
            if is_variable
            else "correct that line, or start afresh with `banter init --force`"
        )
        return [_problem("settings", str(error), fix)]
    found = [_ok("settings", "read and valid"), *_secrets_file(), *_character(settings)]
    found += [Seen("database", finding) for finding in await soundness.examine(settings.database)]
    sections = [section for section in settings.adapters.values() if _is_enabled(section, found)]
    if not sections:
        fix = "run `banter init`, or write enabled = true into its section of config.toml"
        found.append(Seen("platforms", Finding("warning", "none is enabled", fix)))
    for section in sections:
        found += [seen async for seen in _platform(section)]
    return found


def _is_enabled(section: Section, found: list[Seen]) -> bool:
    try:
        return section.is_enabled
    except SettingsError as error:
        found.append(_problem(section.name, str(error), "write true or false"))
        return False


async def _platform(section: Section) -> AsyncIterator[Seen]:
    try:
        kind = registry.load(section.name)
        config = section.config(kind.Config)
        adapter = kind(config)
    except BotError as error:
        yield _problem(
            section.name, str(error), "correct its section of config.toml, or its variable in .env"
        )
        return
    for complaint in misshapen(config):
        yield Seen(section.name, Finding("warning", complaint, "copy it again, into the environment or .env"))
    if not isinstance(adapter, Checks):
        yield _ok(section.name, "configured; it has no checks of its own")
        return
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            for finding in await adapter.check():
                yield Seen(section.name, finding)
    except TimeoutError:
        yield _problem(
            section.name, f"no answer in {CHECK_TIMEOUT_S:g} s", "check the network and its address"
        )
    except AdapterError as error:
        yield _problem(section.name, str(error), "check the network, the address and the token")
    except Exception as error:  # what an adapter's check stumbles over is a finding
        yield _problem(
            section.name, f"its check failed: {type(error).__name__}", "report this to its authors"
        )


def _secrets_file() -> Iterator[Seen]:
    if DOTENV.is_file() and os.name == "posix" and DOTENV.stat().st_mode & 0o077:
        yield Seen(
            str(DOTENV), Finding("warning", "others on this machine can read it", f"chmod 600 {DOTENV}")
        )


def _character(settings: Settings) -> Iterator[Seen]:
    try:
        persona = find_persona(settings.persona, settings.persona_root)
    except PersonaError as error:
        yield _problem(
            "persona", str(error), "name another one in config.toml; `banter persona list` shows them"
        )
        return
    yield _ok("persona", f"{persona.name} speaks")


def _ok(where: str, what: str) -> Seen:
    return Seen(where, Finding("ok", what))


def _problem(where: str, what: str, fix: str) -> Seen:
    return Seen(where, Finding("problem", what, fix))
