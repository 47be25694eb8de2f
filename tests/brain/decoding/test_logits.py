"""Promises of the logit filters, checked against the recorded originals and against naive loops."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brain.decoding import logits as filters

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "interactive" / "topk_topp.json"
RECORDED = json.loads(GOLDEN.read_text())
END = 0

rows_of_logits = st.lists(
    st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=6, max_size=6), min_size=1, max_size=4
)


def columns(logits: torch.Tensor) -> torch.Tensor:
    """All tokens, each in its column."""
    return torch.arange(logits.shape[1]).expand_as(logits)


def kept(row: torch.Tensor) -> list[int]:
    return (row > -torch.inf).nonzero().flatten().tolist()


@pytest.mark.parametrize("case", RECORDED["cases"])
def test_top_k_then_top_p_keep_what_the_original_kept(case: dict[str, float]) -> None:
    logits = torch.tensor([RECORDED["logits"]])

    after_k = filters.keep_top_k(logits, torch.tensor([int(case["top_k"])]))
    after_p = filters.keep_top_p(after_k, torch.tensor([float(case["top_p"])]))

    assert kept(after_p[0]) == case["kept"]


def test_all_recorded_cases_in_one_batch_keep_the_same() -> None:
    cases = RECORDED["cases"]
    logits = torch.tensor([RECORDED["logits"]] * len(cases))

    after_k = filters.keep_top_k(logits, torch.tensor([case["top_k"] for case in cases]))
    after_p = filters.keep_top_p(after_k, torch.tensor([float(case["top_p"]) for case in cases]))

    assert [kept(row) for row in after_p] == [case["kept"] for case in cases]


@settings(max_examples=60, deadline=None)
@given(rows_of_logits, st.integers(-1, 7), st.floats(0, 1))
def test_top_k_and_top_p_agree_with_a_loop_over_sorted_tokens(
    rows: list[list[float]], top_k: int, top_p: float
) -> None:
    logits = torch.tensor(rows)

    after_k = filters.keep_top_k(logits, torch.full((len(rows),), top_k))
    after_p = filters.keep_top_p(after_k, torch.full((len(rows),), top_p))

    for row, survivors in zip(rows, after_p, strict=True):
        assert kept(survivors) == naive_top_k_top_p(row, top_k, float(torch.tensor(top_p)))


def naive_top_k_top_p(row: list[float], top_k: int, top_p: float) -> list[int]:
    order = sorted(range(len(row)), key=lambda token: -row[token])
    if 0 < top_k < len(row):
        order = [token for token in order if row[token] >= row[order[top_k - 1]]]
    if not 0 < top_p < 1:
        return sorted(order)
    total = sum(math.exp(row[token]) for token in order)
    chosen, before = [], 0.0
    for token in order:
        if before > top_p + 1e-12:
            break
        chosen.append(token)
        before += math.exp(row[token]) / total
    return sorted(chosen)


@settings(max_examples=40, deadline=None)
@given(rows_of_logits, st.floats(1, 3), st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_repetition_penalty_agrees_with_a_loop_and_spares_the_end_token(
    rows: list[list[float]], penalty: float, said: list[int]
) -> None:
    logits = torch.tensor(rows)

    penalized = filters.penalize_repetition(
        logits, columns(logits), [said] * len(rows), [penalty] * len(rows), END
    )

    for before, after in zip(rows, penalized.tolist(), strict=True):
        expected = list(before)
        for token in set(said) - {END}:
            expected[token] = before[token] * penalty if before[token] < 0 else before[token] / penalty
        assert after == pytest.approx(expected, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 3), max_size=9), st.integers(0, 4))
def test_banned_tokens_are_those_that_would_repeat_an_ngram(response: list[int], n: int) -> None:
    logits = torch.zeros(2, 5)

    filtered = filters.ban(
        logits, columns(logits), [filters.repeating_tokens(response, ngram) for ngram in (n, 0)]
    )

    grams = {tuple(response[at : at + n]) for at in range(len(response) - n + 1)}
    tail = response[len(response) - n + 1 :]
    banned = [token for token in range(5) if n > 0 and len(tail) == n - 1 and (*tail, token) in grams]
    assert kept(filtered[0]) == [token for token in range(5) if token not in banned]
    assert kept(filtered[1]) == [0, 1, 2, 3, 4]


def test_the_end_token_is_banned_only_in_rows_that_are_too_short() -> None:
    logits = torch.zeros(3, 4)

    filtered = filters.require_min_tokens(logits, columns(logits), [False, True, False], END)

    assert [kept(row) for row in filtered] == [[0, 1, 2, 3], [1, 2, 3], [0, 1, 2, 3]]


def test_the_end_token_stays_when_nothing_else_is_left() -> None:
    logits = torch.tensor([[0.5, -torch.inf, -torch.inf]])

    filtered = filters.require_min_tokens(logits, columns(logits), [True], END)

    assert kept(filtered[0]) == [END]


def test_temperature_divides_the_distances_between_logits() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]])

    softened = filters.apply_temperature(logits, torch.tensor([2.0, 0.5]))

    assert softened.tolist() == [[-1.0, 0.0, -0.5], [-4.0, 0.0, -2.0]]


def test_the_smallest_temperature_still_gives_a_distribution() -> None:
    logits = torch.tensor([[80.0, 81.0, -90.0]])

    probs = filters.apply_temperature(logits, torch.tensor([1e-45])).softmax(-1)

    assert probs.tolist() == [[0.0, 1.0, 0.0]]


def test_columns_may_be_any_tokens() -> None:
    logits, ids = torch.ones(2, 3), torch.tensor([[4, 7, 9], [1, 4, 8]])

    banned = filters.ban(logits, ids, [{7, 5}, {4}])
    punished = filters.penalize_repetition(logits, ids, [{9}, {9, 8}], [2.0, 4.0], END)

    assert [kept(row) for row in banned] == [[0, 2], [0, 2]]
    assert punished.tolist() == [[1.0, 1.0, 0.5], [1.0, 1.0, 0.25]]
