"""The seams of the brain: what an encoder and an engine must offer; `brain.build` passes them on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt, Turn


@dataclass(frozen=True, slots=True)
class Span:
    """Token ids to score: log P(target | context), both non-empty, together within the model's positions."""

    context: tuple[int, ...]
    target: tuple[int, ...]


class Encoder(Protocol):
    """Turns to token ids and back; the one door between text and tokens."""

    @property
    def end_id(self) -> int:
        """Id of the end-of-text token E that closes every turn."""

    @property
    def vocab_size(self) -> int:
        """Number of ids; every id is below it."""

    def encode_turn(self, text: str) -> list[int]:
        """Ids of one turn, special tokens typed by people parsed as plain text, E appended."""

    def encode(self, turns: Sequence[Turn]) -> list[int]:
        """Forward: [t_1 E t_2 E … t_n E], oldest first."""

    def encode_reversed(self, turns: Sequence[Turn]) -> list[int]:
        """Newest first: [t_n E … t_1 E]; the tokens inside a turn keep their order."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a generated turn: special tokens dropped, control characters removed, spaces trimmed."""


class Engine(Protocol):
    """Owns one base model; turns prompts into candidates, many chats in one batch."""

    @property
    def encoder(self) -> Encoder:
        """The tokenizer this model was trained with."""

    @property
    def max_positions(self) -> int:
        """How many tokens, prompt and response together, the model can attend to."""

    async def generate(
        self,
        prompt: Prompt,
        decoding: DecodingConfig,
        seed: int,
        *,
        lora: str | None = None,
        max_seconds: float | None = None,
    ) -> list[Candidate]:
        """Generate candidates; the same prompt, decoding and seed give the same ones, alone or in a batch.

        Args:
            lora: name of the LoRA weights to speak with, laid over the base for this request alone; read when
                they are first named, and again when they have changed.
            max_seconds: until the request is given up; None waits for ever.
        Returns:
            Candidates best first by log-probability for beam, in order of drawing otherwise; not yet checked.
        Raises:
            PromptError: len(prompt.ids) + max_new_tokens exceeds max_positions.
            CheckpointError: the LoRA weights cannot be used.
            EngineBusy, EngineTimeout, EngineClosed.
        """

    async def score(
        self, spans: Sequence[Span], *, lora: str | None = None, max_seconds: float | None = None
    ) -> list[float]:
        """Teacher-forced log P(target | context) per span: natural log, summed over the target's tokens.

        Raises:
            PromptError: a span exceeds max_positions or has an empty part.
            CheckpointError: the LoRA weights cannot be used.
            EngineBusy, EngineTimeout, EngineClosed.
        """

    async def prepare(self, lora: str) -> None:
        """Read LoRA weights now, so that the next request that names them need not wait.

        Raises:
            CheckpointError: they cannot be used.
        """

    async def close(self) -> None:
        """Fail what waits with EngineClosed and stop the model's thread; may be called twice."""
