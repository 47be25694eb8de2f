"""Maximum mutual information: prefer the response from which the reverse model best guesses what it answers.

Source: Zhang et al. 2020 (DialoGPT), section 3, after Li et al. 2016: of the candidates the one with the
lowest backward loss, that is the highest log P(source | response). The response itself is not part of that
loss: counting it would reward long responses that are easy to predict from themselves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Turn
from brain.history import fit
from brain.protocols import Encoder, Span


@dataclass(frozen=True, slots=True)
class MutualScore:
    """What both models say of one candidate: summed log-probabilities, and over how many tokens.

    `response_len` counts the end token when the candidate has one; `source_len` is that of the span's target.
    """

    response_logprob: float  # log P(response | source), forward model
    response_len: int
    source_logprob: float  # log P(source | response), reverse model
    source_len: int


def source_spans(
    turns: Sequence[Turn], responses: Sequence[Sequence[int]], encoder: Encoder, max_positions: int
) -> list[Span]:
    """What the reverse model has to score: `H E | t_n E … t_1 E` for each response H.

    The source is cut once, to fit beside the longest response, and so is the same for all of them: their
    scores stay comparable. Its oldest turns go first; a newest turn too long by itself keeps its end.

    Args:
        turns: what the responses answer, oldest first.
        responses: token ids without end token.
        max_positions: of the reverse model.
    Raises:
        PromptError: no turn has text, or the longest response leaves no room for the source.
    """
    budget = max_positions - max((len(ids) + 1 for ids in responses), default=0)
    source = fit(turns, encoder, max_turns=max(len(turns), 1), max_tokens=budget)
    target = source.ids if source.is_cut else tuple(encoder.encode_reversed(source.turns))
    return [Span((*ids, encoder.end_id), target) for ids in responses]


def mutual_score(candidate: Candidate, span: Span, source_logprob: float) -> MutualScore:
    """Put together what `source_spans` asked for and the reverse model answered."""
    response_len = candidate.num_tokens
    return MutualScore(candidate.logprob, response_len, source_logprob, len(span.target))


def interpolate(score: MutualScore, mmi_lambda: float) -> float:
    """λ·log P(H|S)/|H| + (1 - λ)·log P(S|H)/|S|, in nats per token; λ = 0 is the paper's rule."""
    backward = score.source_logprob / max(score.source_len, 1)
    if mmi_lambda == 0:
        return backward
    return mmi_lambda * score.response_logprob / max(score.response_len, 1) + (1 - mmi_lambda) * backward


def choose(scores: Sequence[MutualScore], decoding: DecodingConfig, seed: int) -> int:
    """Index of the candidate to say: the best, or with `mmi_temperature` a draw that favours better ones.

    Args:
        scores: one per candidate, at least one.
        seed: used only when mmi_temperature is above 0.
    """
    values = [interpolate(score, decoding.mmi_lambda) for score in scores]
    if decoding.mmi_temperature == 0:
        return max(range(len(values)), key=values.__getitem__)
    weights = selection_probs(values, decoding.mmi_temperature)
    return Random(f"{seed} mmi").choices(range(len(values)), weights)[0]


def selection_probs(values: Sequence[float], mmi_temperature: float) -> list[float]:
    """softmax(values / temperature).

    Source: LHolten's DialoGPT-MMI-decoder, revision b02f427, which draws with temperature 0.5.
    """
    top = max(values)
    weights = [math.exp((value - top) / max(mmi_temperature, 1e-9)) for value in values]
    return [weight / sum(weights) for weight in weights]
