"""Promises of drawing: the right frequencies, a stream of its own for each row, never a banned token."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brain.config import DecodingConfig
from brain.decoding.sampling import draw, sample, settings_from_decodings, uniform_streams

SAMPLE = DecodingConfig(method="sample", top_k=0, top_p=1.0)


def test_evenly_spread_numbers_draw_each_token_in_proportion_to_its_probability() -> None:
    probs = torch.tensor([0.1, 0.2, 0.3, 0.4])
    uniform = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000

    drawn = draw(probs.log().expand(1000, 4), uniform)

    assert drawn.bincount().tolist() == [100, 200, 300, 400]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.just(float("-inf")), st.floats(-30, 30, width=32)), min_size=2, max_size=9),
    st.floats(0, 1, exclude_max=True),
)
def test_a_banned_token_is_never_drawn(logits: list[float], uniform: float) -> None:
    logits = [*logits, 0.0, float("-inf")]

    drawn = draw(torch.tensor([logits]), torch.tensor([uniform], dtype=torch.float64))

    assert logits[int(drawn)] > float("-inf")


def test_a_number_next_to_one_draws_the_last_possible_token() -> None:
    logits = torch.tensor([[0.1, 0.2, 0.3, -torch.inf]])

    drawn = draw(logits, torch.tensor([1 - 2**-53], dtype=torch.float64))

    assert drawn.tolist() == [2]


def test_streams_depend_on_seed_prompt_and_candidate_only() -> None:
    few, many = uniform_streams(7, (1, 2), 2, 5), uniform_streams(7, [1, 2], 4, 9)

    assert [stream[:5] for stream in many[:2]] == few
    assert uniform_streams(8, (1, 2), 2, 5) != few
    assert uniform_streams(7, (12,), 2, 5) != few
    assert many[0] != many[1]
    assert all(0 <= number < 1 for stream in many for number in stream)


def test_greedy_takes_the_likeliest_token_and_the_first_of_equals() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0, 1.0], [3.0, 2.0, 2.0, 1.0]])
    greedy = settings_from_decodings([DecodingConfig(method="greedy", temperature=9)] * 2)

    drawn = sample(logits, greedy, torch.zeros(2, dtype=torch.float64))

    assert drawn.tolist() == [1, 0]


def test_rows_with_different_settings_draw_as_they_would_alone() -> None:
    logits = torch.randn(6, 300, generator=torch.Generator().manual_seed(1))
    decodings = [
        DecodingConfig(method="greedy"),
        SAMPLE,
        SAMPLE.model_copy(update={"top_k": 10}),
        SAMPLE.model_copy(update={"top_p": 0.7, "temperature": 2.0}),
        SAMPLE.model_copy(update={"top_k": 40, "top_p": 0.5}),
        DecodingConfig(method="mmi", temperature=0.3),
    ]
    uniform = torch.tensor([0.0, 0.1, 0.9, 0.5, 0.7, 0.99], dtype=torch.float64)

    together = sample(logits, settings_from_decodings(decodings), uniform).tolist()

    alone = [
        int(sample(logits[row : row + 1], settings_from_decodings([decoding]), uniform[row : row + 1]))
        for row, decoding in enumerate(decodings)
    ]
    assert together == alone


def test_drawing_follows_the_filtered_distribution() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).expand(2000, 4)
    decoding = SAMPLE.model_copy(update={"top_k": 2, "temperature": 0.5})
    uniform = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000

    drawn = sample(logits, settings_from_decodings([decoding] * 2000), uniform)

    expected = torch.tensor([4.0, 2.0]).softmax(0) * 2000  # the two best, divided by one half
    assert torch.allclose(drawn.bincount(minlength=2).float(), expected, atol=1.0)
