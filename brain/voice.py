"""With which weights a character can speak here: its LoRA weights, read before it says anything."""

import logging
from dataclasses import replace

from brain.errors import CheckpointError, OtherBase, VoiceError
from brain.persona import Persona
from brain.protocols import Engine

_log = logging.getLogger(__name__)


class Voices:
    """Readies characters for a pair of engines."""

    def __init__(self, forward: Engine, reverse: Engine | None) -> None:
        self._forward, self._reverse = forward, reverse
        self._told: set[str] = set()  # what need not be told again with every reply

    async def prepare(self, persona: Persona, strictly: bool) -> Persona:
        """The persona as it can speak here, its weights in memory; see `brain.brain.Brain.prepare`."""
        if self._reverse is None:
            persona = replace(persona, reverse_lora=None)
        elif persona.reverse_lora is not None:
            await self._read(self._reverse, persona.reverse_lora, persona, strictly)
        if persona.lora is None:
            return persona
        try:
            await self._read(self._forward, persona.lora, persona, strictly)
        except OtherBase as error:
            if not persona.is_lora_found:
                raise
            self._tell_once(f"{persona.name} speaks without LoRA weights: {error}")
            return replace(persona, lora=None)
        return persona

    async def _read(self, engine: Engine, lora: str, persona: Persona, strictly: bool) -> None:
        """Read weights. Raises as `prepare`, but OtherBase for those that merely lie in the folder."""
        try:
            await engine.prepare(lora)
        except CheckpointError as error:
            is_spare = persona.is_lora_found and lora == persona.lora and isinstance(error, OtherBase)
            if strictly or is_spare:
                raise
            _log.warning("%s cannot speak: %s", persona.name, error)
            raise VoiceError(
                f"{persona.name} has no voice at the moment; /persona lists who else can talk"
            ) from error

    def _tell_once(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            _log.warning("%s", what)
