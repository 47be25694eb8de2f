"""A character begun from an export: persona_data/<slug> with its name, greeting and where it comes from."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from bots.characters import SLUG
from bots.errors import SettingsError
from brain.encoding import clean_turn
from brain.persona import FILE_NAME

MAX_DESCRIPTION = 200

PERSONA = """\
# A character begun by `banter import`; every line may be changed.

# Shown wherever the character speaks.
name = {name}

# One sentence, shown by `banter persona list`.
description = {description}

# First words to a new guest.
greeting = {greeting}

# Said when no candidate reply is good enough; each should fit almost any context.
fallback = [
    "Tell me a bit more?",
    "Hm, how do you mean?",
    "Fair enough. What happened next?",
]

# What `banter finetune --lora --out runs/{slug}` has learnt, laid over the configured model.
# lora = "runs/{slug}"

# Or a model of its own, from `banter finetune --full`.
# model = "runs/{slug}"
"""
ORIGIN = """\
# {name}

- Learns from messages imported by `banter import` from {source}, with the consent that its user declared.
- Before you pass it on: a model can repeat what it has learnt, word for word.
- `persona.toml`: name, greeting and fallback lines.
"""


def check(slug: str) -> None:
    """Refuse a name that cannot be a folder's, before any work is done.

    Raises:
        SettingsError: it cannot be.
    """
    if not SLUG.fullmatch(slug):
        raise SettingsError(
            f"'{slug}' cannot be a character's folder; use up to 64 of a-z, 0-9, - and _, as in 'old-sailor'"
        )


def begin(slug: str, root: Path, name: str, card: Path | None, source: str) -> Path | None:
    """Make the folder whole or not at all; None when there is such a character, which stays as it is.

    Args:
        name: what the character is called.
        card: a character card to take description and greeting from; all of it is kept as card.json.
    Raises:
        SettingsError: the folder cannot be written.
        DataError: the card cannot be read.
    """
    folder = root / slug
    if folder.exists():
        return None
    files = _files(slug, name, card, source)
    draft: Path | None = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=root, prefix=".new-"))
        for file_name, text in files.items():
            (draft / file_name).write_text(text, encoding="utf-8")
        draft.chmod(0o755)
        os.rename(draft, folder)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror}; check persona_data") from error
    finally:
        if draft:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def _files(slug: str, name: str, card: Path | None, source: str) -> dict[str, str]:
    name, description = clean_turn(name), f"Talks like {clean_turn(name)}."
    greeting, kept = f"Hello, {name} here.", {}
    if card:
        from brain.finetune.sources.card import load_card

        loaded = load_card(card)
        greeting = loaded.greeting or greeting
        description = _sentence(loaded.description) or description
        kept = {"card.json": json.dumps(loaded.original, ensure_ascii=True, indent=1) + "\n"}
    values = {"name": name, "description": description, "greeting": greeting}
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    return {
        FILE_NAME: PERSONA.format(slug=slug, **quoted),
        "SOURCE.md": ORIGIN.format(name=name, source=source),
        **kept,
    }


def _sentence(text: str) -> str:
    first = text.split(". ")[0].strip()
    return first if len(first) <= MAX_DESCRIPTION else f"{first[: MAX_DESCRIPTION - 1]}…"
