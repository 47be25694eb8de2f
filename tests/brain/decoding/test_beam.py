"""Promises of beam search, checked against enumeration of every response of a small random language."""

import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch

from brain.config import DecodingConfig
from brain.decoding.beam import BeamSearch, Hypothesis

VOCAB, END = 5, 0

Language = Callable[[Sequence[int]], torch.Tensor]


def language(seed: int) -> Language:
    """Log-probabilities float32 [VOCAB] after any prefix, the same each time."""

    def logprobs(prefix: Sequence[int]) -> torch.Tensor:
        number = sum((token + 1) * 11**place for place, token in enumerate(prefix))
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        return (1.5 * torch.randn(VOCAB, generator=generator)).log_softmax(-1)

    return logprobs


def forbid(gains: torch.Tensor, prefix: Sequence[int], decoding: DecodingConfig) -> torch.Tensor:
    """The hard filters, written as a loop."""
    gains, n = gains.clone(), decoding.no_repeat_ngram
    grams = [tuple(prefix[at : at + n]) for at in range(len(prefix) - n + 1)] if n else []
    for token in range(1, VOCAB):
        if n and (*prefix[len(prefix) - n + 1 :], token) in grams:
            gains[token] = -torch.inf
    if len(prefix) < decoding.min_new_tokens:
        gains[END] = -torch.inf
    return gains


def search(spoken: Language, decoding: DecodingConfig) -> tuple[list[Hypothesis], int]:
    """Run a search; returns its result and the number of steps."""
    beams, prefixes, steps = BeamSearch(decoding, END), [()], 0
    while prefixes:
        logprobs = torch.stack([spoken(prefix) for prefix in prefixes])
        gains = torch.stack(
            [forbid(row, prefix, decoding) for row, prefix in zip(logprobs, prefixes, strict=True)]
        )
        ids = torch.arange(VOCAB).expand_as(gains)
        moves = beams.advance(gains, logprobs, ids)
        prefixes, steps = [(*prefixes[parent], token) for parent, token in moves], steps + 1
    return beams.best(), steps


def every_response(spoken: Language, decoding: DecodingConfig) -> list[Hypothesis]:
    """All responses the filters allow, by brute force, best first."""
    found = []
    for length in range(1, decoding.max_new_tokens + 1):
        for ids in itertools.product(range(VOCAB), repeat=length):
            if END in ids[:-1] or (ids[-1] != END and length < decoding.max_new_tokens):
                continue
            rows = [spoken(ids[:at]) for at in range(length)]
            allowed = [forbid(row, ids[:at], decoding)[ids[at]] for at, row in enumerate(rows)]
            if any(value == -torch.inf for value in allowed):
                continue
            logprob = sum(float(row[token]) for row, token in zip(rows, ids, strict=True))
            text = ids[:-1] if ids[-1] == END else ids
            finish = "stop" if ids[-1] == END else "length"
            found.append(Hypothesis(text, logprob, finish, logprob / length**decoding.length_penalty))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def greedy_logprob(spoken: Language, decoding: DecodingConfig) -> float:
    prefix: tuple[int, ...] = ()
    total = 0.0
    while len(prefix) < decoding.max_new_tokens:
        token = int(forbid(spoken(prefix), prefix, decoding).argmax())
        total += float(spoken(prefix)[token])
        if token == END:
            break
        prefix = (*prefix, token)
    return total


def config(**overrides: object) -> DecodingConfig:
    return DecodingConfig(method="beam", no_repeat_ngram=0, min_new_tokens=0).merge(overrides, "test")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "overrides",
    [
        {"length_penalty": 0.0},
        {"length_penalty": 1.0},
        {"length_penalty": -1.0},
        {"length_penalty": 0.6, "min_new_tokens": 2, "no_repeat_ngram": 2},
        {"length_penalty": 0.0, "no_repeat_ngram": 1},
    ],
)
def test_a_beam_as_wide_as_the_tree_finds_the_best_of_all_responses(
    seed: int, overrides: dict[str, float]
) -> None:
    spoken, decoding = language(seed), config(max_new_tokens=4, num_beams=256, num_best=5, **overrides)

    found, _ = search(spoken, decoding)

    expected = every_response(spoken, decoding)[:5]
    assert [hypothesis.ids for hypothesis in found] == [hypothesis.ids for hypothesis in expected]
    assert [hypothesis.finish for hypothesis in found] == [hypothesis.finish for hypothesis in expected]
    assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=1e-5)
    assert [h.logprob for h in found] == pytest.approx([h.logprob for h in expected], abs=1e-5)


def test_wider_beams_find_what_is_likelier_than_greedy() -> None:
    gains = []
    for seed in range(40):
        spoken = language(seed)
        decoding = config(max_new_tokens=7, num_beams=5, num_best=1, min_new_tokens=1, no_repeat_ngram=2)

        found, _ = search(spoken, decoding)

        gains.append(found[0].logprob - greedy_logprob(spoken, decoding))
    assert sum(gain < -1e-6 for gain in gains) <= 2
    assert sum(gain > 1e-6 for gain in gains) >= 20


def test_one_beam_is_greedy_decoding() -> None:
    for seed in range(20):
        spoken, decoding = language(seed), config(max_new_tokens=6, num_beams=1)

        found, _ = search(spoken, decoding)

        assert greedy_logprob(spoken, decoding) <= found[0].logprob + 1e-6
        assert len(found) == 1


def test_the_search_stops_once_nothing_alive_can_win() -> None:
    def ends_at_once(prefix: Sequence[int]) -> torch.Tensor:
        return torch.tensor([0.9, 0.04, 0.03, 0.02, 0.01]).log()

    found, steps = search(ends_at_once, config(max_new_tokens=30, num_beams=3, num_best=1))

    assert found == [Hypothesis((), pytest.approx(math.log(0.9)), "stop", pytest.approx(math.log(0.9)))]
    assert steps == 1


def test_a_length_penalty_keeps_the_search_going_while_a_longer_one_can_win() -> None:
    def long_winded(prefix: Sequence[int]) -> torch.Tensor:
        end = 0.5 if len(prefix) in (0, 3) else 0.01
        return torch.tensor([end, 0.97 - end, 0.01, 0.01, 0.01]).log()

    decoding = config(max_new_tokens=4, num_beams=2, num_best=1, length_penalty=1.0)

    found, _ = search(long_winded, decoding)

    assert found[0].ids == (1, 1, 1)
    assert found[0].score == pytest.approx(every_response(long_winded, decoding)[0].score)


def test_hypotheses_differ_and_come_best_first() -> None:
    found, _ = search(language(5), config(max_new_tokens=5, num_beams=6, num_best=6))

    assert len({(hypothesis.ids, hypothesis.finish) for hypothesis in found}) == 6
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
