"""The values that pass between rooms: frozen, standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Finish = Literal["stop", "length", "aborted", "trimmed"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance by one speaker; the speaker's name is for people and data, the model never sees it."""

    text: str
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The live turns of one chat, oldest first; the last one is what the bot answers.

    `bot_turns` holds the places of the bot's own turns, so that checks can refuse a repetition of them;
    by default every second turn counted back from the last one.
    """

    turns: tuple[Turn, ...]

    @property
    def bot_turns(self) -> tuple[Turn, ...]:
        """The bot's own turns, oldest first: those that stand an odd number of places before the last."""
        return tuple(turn for back, turn in enumerate(reversed(self.turns)) if back % 2 == 1)[::-1]


@dataclass(frozen=True, slots=True)
class Session:
    """A finished dialogue for training.

    `weights` has one entry per turn: the weight of that turn in the loss, 0 = context only.
    """

    turns: tuple[Turn, ...]
    weights: tuple[float, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """History and its token ids, exactly what the engine receives.

    `turns` are the whole turns that fit, oldest first; `ids` is [t_1 E t_2 E … t_n E].
    `is_cut` is true when even the newest turn alone was too long and lost its beginning.
    """

    turns: tuple[Turn, ...]
    ids: tuple[int, ...]
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """One generated response with its scores.

    `finish` is "stop" when the model closed it, "trimmed" when it was closed after a whole sentence because
    what the model said next may not be said, "length" or "aborted" when nothing closed it. `logprob` is the
    forward model's own natural log-probability, summed over `ids` and the closing end-of-text token, if any
    (not in `ids`); decoding filters and temperature do not enter it.
    `refused` names why the checks dropped it, None when it may be said.
    """

    text: str
    ids: tuple[int, ...]
    logprob: float
    finish: Finish
    scores: Mapping[str, float] = field(default_factory=dict)
    refused: str | None = None

    @property
    def num_tokens(self) -> int:
        """What `logprob` is summed over."""
        return len(self.ids) + (self.finish in ("stop", "trimmed"))


@dataclass(frozen=True, slots=True)
class Reply:
    """The chosen candidate, all candidates, and how the choice was made.

    `chosen` indexes `candidates`, or is -1 when every candidate was refused and `text` is a persona's
    fallback line. `seed` repeats the reply. `draws` counts how often the engine was asked. `seconds` is
    wall time.
    """

    text: str
    chosen: int
    candidates: tuple[Candidate, ...]
    prompt: Prompt
    seed: int = 0
    draws: int = 1
    seconds: float = 0.0
