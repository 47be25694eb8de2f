"""Characters seen from the command line: listed, shown, begun."""

import re
from pathlib import Path

from bots.errors import NameTaken, SettingsError
from brain.encoding import clean_turn
from brain.persona import Persona

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")

TEMPLATE = """\
# A character. Talk with it: banter chat --persona {slug}

# Shown wherever the character speaks.
name = "{name}"

# One sentence, shown by `banter persona list`.
description = ""

# First words to a new guest; empty = none.
greeting = "Hello, I'm {name}. What brings you here?"

# Said when no candidate reply is good enough; each should fit almost any context.
fallback = [
    "Tell me a bit more?",
    "Hm, how do you mean?",
    "Fair enough. What happened next?",
]

# The model this character needs; without this line it speaks with the configured one.
# model = "microsoft/DialoGPT-medium"

# LoRA weights over the configured model: a folder in this one, or any other; without this line those in
# lora/, if there are any; "none" = not even those. They are chosen per chat and may be replaced at any time.
# lora = "runs/{slug}"
# reverse_lora = "runs/{slug}-reverse"

# Decoding values that differ from config.toml: method, temperature, top_k, num_candidates, ...
[decoding]
# temperature = 0.9
"""


def create(name: str, root: Path) -> Path:
    """Write a commented persona.toml below `root`; the file.

    Raises:
        SettingsError: the name cannot be a folder's, or the folder cannot be written.
        NameTaken: there is such a folder already.
    """
    if not SLUG.fullmatch(name):
        raise SettingsError(
            f"'{name}' cannot be a character's folder; use up to 64 of a-z, 0-9, - and _, as in 'old-sailor'"
        )
    folder = root / name
    try:
        folder.mkdir(parents=True)
        file = folder / "persona.toml"
        file.write_text(
            TEMPLATE.format(slug=name, name=title(name)),
            encoding="utf-8",
        )
    except FileExistsError as error:
        raise NameTaken(f"{folder} is there already; choose another name or edit its persona.toml") from error
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror}; check persona_data") from error
    return file


def title(slug: str) -> str:
    """A name for a folder: Old Sailor for old-sailor."""
    return slug.replace("-", " ").replace("_", " ").title()


def summary(persona: Persona) -> str:
    """One line for a list."""
    return "\t".join(map(clean_turn, (persona.slug, persona.name, persona.description))).rstrip()


def sheet(persona: Persona) -> str:
    """All of a character, one value per line."""
    values = {
        "name": persona.name,
        "folder": persona.slug,
        "description": persona.description,
        "greeting": persona.greeting,
        "model": persona.model or "the configured one",
        "lora": persona.lora or "none",
        "reverse_lora": persona.reverse_lora or "none",
        "decoding": ", ".join(f"{key} = {value}" for key, value in persona.decoding.items())
        or "as configured",
    }
    shown = [f"{key + ':':<14}{clean_turn(value)}" for key, value in values.items()]
    return "\n".join([*shown, "fallback:", *(f"  {clean_turn(line)}" for line in persona.fallback)])
