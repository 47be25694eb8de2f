"""Who can speak: characters by name, and how each of them decodes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brain.config import BrainConfig, DecodingConfig
from brain.errors import PersonaError
from brain.persona import DEFAULT_PERSONA, Persona, find_persona, list_personas


class Cast:
    """The characters of one folder, served by one configured model and each character's own LoRA weights.

    `flags` are decoding values of the command line: they win over a character's own, and these over the
    configuration.
    """

    def __init__(self, root: Path, config: BrainConfig, flags: Mapping[str, Any] | None = None) -> None:
        self._root, self._config, self._flags = root, config, dict(flags or {})

    def find(self, name: str) -> Persona:
        """The character of this name.

        Raises:
            PersonaError: unknown or malformed, or it was written for another model than the one that runs.
        """
        persona = find_persona(name, self._root)
        if not self._is_served(persona):
            raise PersonaError(
                f"{persona.name} speaks with the model {persona.model}, here runs {self._config.model}; "
                f"start with --persona {persona.slug}"
            )
        return persona

    def slugs(self) -> tuple[str, ...]:
        """Names of those who can speak here, for completion and lists."""
        found = [persona.slug for persona in list_personas(self._root) if self._is_served(persona)]
        return tuple(dict.fromkeys([DEFAULT_PERSONA.slug, *found]))

    def summary(self) -> str:
        """One line: who can speak here, and who needs a model of its own."""
        others = [persona for persona in list_personas(self._root) if not self._is_served(persona)]
        line = f"characters: {', '.join(self.slugs())}"
        if not others:
            return line
        absent = ", ".join(f"{persona.slug} ({persona.model})" for persona in others)
        return f"{line}; not here, since they have a model of their own: {absent}"

    def _is_served(self, persona: Persona) -> bool:
        return persona.model in (None, self._config.model)

    def decoding(self, persona: Persona, overrides: Mapping[str, Any] | None = None) -> DecodingConfig:
        """How this character decodes, with `overrides` on top of all.

        Raises:
            ConfigError: an override is unknown or out of range; the sentence names the nearest known key.
        """
        values = {**persona.decoding, **self._flags, **(overrides or {})}
        return self._config.decoding.merge(values, "decoding") if values else self._config.decoding
