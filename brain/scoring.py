"""How likely both models find a response that is already there."""

from collections.abc import Sequence
from dataclasses import dataclass

from brain.dialogue import Prompt, Turn
from brain.errors import PromptError
from brain.history import fit
from brain.protocols import Encoder, Span


@dataclass(frozen=True, slots=True)
class Score:
    """Natural log-probabilities, summed; `…_tokens` count what they are summed over, end tokens included.

    `forward` is log P(response E | turns), `reverse` log P(turns newest first, each with its E | response E),
    None without a reverse model.
    """

    forward: float
    forward_tokens: int
    reverse: float | None = None
    reverse_tokens: int | None = None


def forward_span(turns: Sequence[Turn], response: str, encoder: Encoder, max_positions: int) -> Span:
    """The span whose score is log P(response E | turns); the oldest turns go first when they do not fit.

    Raises:
        PromptError: no turn or no response has text, or the newest turn and the response do not fit.
    """
    target = _response_ids(response, encoder)
    return Span(_fitted(turns, encoder, max_positions - len(target)).ids, target)


def reverse_span(turns: Sequence[Turn], response: str, encoder: Encoder, max_positions: int) -> Span:
    """The span whose score is log P(t_n E … t_1 E | response E), under the same rules as `forward_span`.

    Source: Zhang et al. 2020 (DialoGPT), section 3: P(Source | hypothesis), the hypothesis not scored.
    """
    context = _response_ids(response, encoder)
    source = _fitted(turns, encoder, max_positions - len(context))
    return Span(context, tuple(encoder.encode_reversed(source.turns)))


def _response_ids(response: str, encoder: Encoder) -> tuple[int, ...]:
    ids = tuple(encoder.encode_turn(response))
    if len(ids) == 1:
        raise PromptError("the response is empty: there is nothing to score")
    return ids


def _fitted(turns: Sequence[Turn], encoder: Encoder, max_tokens: int) -> Prompt:
    if not turns:
        raise PromptError("there are no turns: nothing was said before the response")
    if max_tokens >= 2:
        history = fit(turns, encoder, len(turns), max_tokens)
        if not history.is_cut:
            return history
    raise PromptError("the newest turn and the response together are longer than the model's positions")
