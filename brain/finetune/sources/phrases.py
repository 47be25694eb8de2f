"""Words that WhatsApp itself writes into exports, by what they mean: the lists of phrases.toml."""

import tomllib
from importlib.resources import files

PHRASES: dict[str, frozenset[str]] = {
    meaning: frozenset(phrase.casefold() for phrase in phrases)
    for meaning, phrases in tomllib.loads(
        (files("brain.finetune.sources") / "phrases.toml").read_text(encoding="utf-8")
    ).items()
}
