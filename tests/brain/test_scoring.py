from collections.abc import Callable, Sequence

import pytest
import torch

from brain.brain import Brain
from brain.config import BrainConfig
from brain.dialogue import Turn
from brain.encoding import train_encoder
from brain.engine.causal import CausalModel
from brain.engine.engine import ModelEngine
from brain.errors import PromptError
from brain.protocols import Encoder, Span
from brain.scoring import Score, forward_span, reverse_span
from brain.testing import ScriptedEngine, tiny_encoder, tiny_gpt2

SpanOf = Callable[[Sequence[Turn], str, Encoder, int], Span]
ENCODER = train_encoder([], vocab_size=257)  # one token per byte, so "abc" is four with its end


def said(*texts: str) -> list[Turn]:
    return [Turn(text) for text in texts]


def ids(text: str) -> tuple[int, ...]:
    return tuple(ENCODER.encode_turn(text))


def test_forward_scores_the_response_and_its_end_after_the_turns_oldest_first() -> None:
    assert forward_span(said("ab", "c"), "de", ENCODER, 64) == Span((*ids("ab"), *ids("c")), ids("de"))


def test_reverse_scores_the_turns_newest_first_after_the_response_and_its_end() -> None:
    assert reverse_span(said("ab", "c"), "de", ENCODER, 64) == Span(ids("de"), (*ids("c"), *ids("ab")))


@pytest.mark.parametrize("span_of", [forward_span, reverse_span])
def test_the_oldest_turns_are_dropped_whole_when_all_do_not_fit(span_of: SpanOf) -> None:
    span = span_of(said("abc", "de", "f"), "gh", ENCODER, 9)  # 4 + 3 + 2 and 3

    assert span == span_of(said("de", "f"), "gh", ENCODER, 64)


@pytest.mark.parametrize("span_of", [forward_span, reverse_span])
@pytest.mark.parametrize(
    ("turns", "response", "message"),
    [
        (said("abc"), "defg", "longer than the model's positions"),
        (said("abc"), "defghijk", "longer than the model's positions"),
        (said("abc"), " ", "the response is empty"),
        ([], "d", "there are no turns"),
        (said(" "), "d", "nothing was said"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    span_of: SpanOf, turns: list[Turn], response: str, message: str
) -> None:
    with pytest.raises(PromptError, match=message):
        span_of(turns, response, ENCODER, 8)


async def test_each_model_scores_in_its_own_tokens() -> None:
    other = train_encoder(["hello there, how are you?"] * 3, vocab_size=270)
    brain = Brain(ScriptedEngine(ENCODER), BrainConfig(), ScriptedEngine(other))

    score = await brain.score(said("hello there"), "hello you")

    back = len(other.encode_turn("hello there"))
    assert score == Score(-10.0, 10, -float(back), back)


async def test_without_a_reverse_model_there_is_no_reverse_score() -> None:
    score = await Brain(ScriptedEngine(ENCODER), BrainConfig()).score(said("hi"), "ho")

    assert (score.reverse, score.reverse_tokens) == (None, None)


async def test_a_score_is_the_sum_of_the_models_logs_token_by_token() -> None:
    encoder = tiny_encoder()
    model = tiny_gpt2(encoder)
    brain = Brain(ModelEngine(CausalModel(model), encoder), BrainConfig())

    score = await brain.score(said("do you like tea?", "no"), "why not?")
    await brain.close()

    context, target = encoder.encode(said("do you like tea?", "no")), encoder.encode_turn("why not?")
    with torch.inference_mode():
        logprobs = model(torch.tensor([context + target])).logits[0].log_softmax(-1)
    slowly = sum(
        logprobs[place - 1, (context + target)[place]].item()
        for place in range(len(context), len(context + target))
    )
    assert score.forward == pytest.approx(slowly, abs=1e-3)
    assert score.forward_tokens == len(target)
