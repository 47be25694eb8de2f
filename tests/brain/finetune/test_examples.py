"""Windows: whole turns, every trained turn a target exactly once, end-of-text included."""

import random

from hypothesis import given
from hypothesis import strategies as st

from brain.finetune.examples import EncodedTurn, ordered, split_at_random, windows

END = 0


def turns_of(*lengths: int, weight: float = 1.0) -> list[EncodedTurn]:
    """Turns of distinct ids, so that each token can be found again."""
    out, token = [], 1
    for length in lengths:
        out.append(EncodedTurn([*range(token, token + length - 1), END], weight, length))
        token += length
    return out


def test_the_opening_turn_is_context_and_the_rest_are_targets() -> None:
    window, *none = windows(ordered(turns_of(3, 2, 4), reverse=False, train_first=False), 100)

    assert none == []
    assert window.ids == [1, 2, END, 4, END, 6, 7, 8, END]
    assert window.weights == [0.0] * 3 + [1.0] * 6
    assert window.num_bytes == 6


def test_reverse_reading_trains_context_turns_as_well() -> None:
    said = [*turns_of(3, weight=0.0), *turns_of(2)]

    window = windows(ordered(said, reverse=True, train_first=False), 100)[0]

    assert window.ids == [1, END, 1, 2, END]
    assert window.weights == [0.0, 0.0, 1.0, 1.0, 1.0]


def test_a_session_without_weight_gives_no_window() -> None:
    assert windows(ordered(turns_of(3, 3, weight=0.0), reverse=False, train_first=False), 100) == []


def test_a_turn_longer_than_a_window_goes_on_in_the_next_with_its_end() -> None:
    session = ordered(turns_of(2, 50), reverse=False, train_first=False)

    cut = windows(session, 20)

    assert all(len(one.ids) <= 20 for one in cut)
    trained = [token for w in cut for token, weight in zip(w.ids, w.weights, strict=True) if weight]
    assert trained == session[1].ids
    assert all(window.weights[0] == 0.0 for window in cut)
    assert sum(window.num_bytes for window in cut) == session[1].num_bytes


@given(st.lists(st.integers(2, 90), min_size=2, max_size=30), st.integers(24, 60))
def test_each_trained_token_is_a_target_exactly_once(lengths: list[int], max_len: int) -> None:
    session = ordered(turns_of(*lengths), reverse=False, train_first=False)
    expected = [token for turn in session[1:] for token in turn.ids]

    cut = windows(session, max_len)

    assert all(len(window.ids) <= max_len for window in cut)
    trained = [token for w in cut for token, weight in zip(w.ids, w.weights, strict=True) if weight]
    assert trained == expected
    assert sum(window.num_bytes for window in cut) == sum(turn.num_bytes for turn in session[1:])
    assert all(window.weights[0] == 0.0 for window in cut), "a window must begin with context"


@given(st.integers(2, 20), st.integers(0, 1000))
def test_a_random_cut_loses_no_turn(num_turns: int, seed: int) -> None:
    session = turns_of(*[3] * num_turns)

    parts = split_at_random(session, 1.0, random.Random(seed))

    assert [turn for part in parts for turn in part] == session
    assert all(len(part) >= 2 for part in parts)
