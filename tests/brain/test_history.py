import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain.dialogue import Prompt, Turn
from brain.encoding import END_OF_TEXT, clean_turn, train_encoder
from brain.errors import PromptError
from brain.history import fit

ENCODER = train_encoder([], vocab_size=257)  # one token per byte, so "abc" is four with its end
PROMPTS = Path(__file__).parents[1] / "data" / "golden" / "interactive" / "gpt2bot_prompts.json"


def said(*texts: str) -> list[Turn]:
    return [Turn(text) for text in texts]


def test_fit_drops_whole_turns_oldest_first() -> None:
    turns = said("abc", "de", "f")  # 4 + 3 + 2 tokens

    prompt = fit(turns, ENCODER, max_turns=9, max_tokens=8)

    assert prompt.turns == tuple(turns[1:])
    assert list(prompt.ids) == ENCODER.encode(turns[1:])


def test_fit_keeps_everything_that_just_fits() -> None:
    turns = said("abc", "de", "f")

    assert fit(turns, ENCODER, max_turns=3, max_tokens=9).turns == tuple(turns)


def test_fit_keeps_no_older_turn_behind_one_that_was_too_long() -> None:
    turns = said("a", "far too long", "b")

    assert fit(turns, ENCODER, max_turns=9, max_tokens=8).turns == (turns[2],)


def test_fit_keeps_the_newest_turns_up_to_max_turns() -> None:
    turns = said("a", "b", "c")

    assert fit(turns, ENCODER, max_turns=2, max_tokens=99).turns == tuple(turns[1:])


def test_a_newest_turn_that_is_too_long_keeps_its_end_and_says_so() -> None:
    prompt = fit(said("before", "abcdefgh"), ENCODER, max_turns=9, max_tokens=4)

    assert prompt.ids == tuple(ENCODER.encode_turn("fgh"))
    assert prompt.is_cut


def test_turns_without_text_are_passed_over_and_do_not_count() -> None:
    turns = said("a", " ", "b", "\u200e")

    prompt = fit(turns, ENCODER, max_turns=2, max_tokens=99)

    assert prompt == Prompt((turns[0], turns[2]), tuple(ENCODER.encode(said("a", "b"))))


@pytest.mark.parametrize("turns", [[], said(""), said(" ", "\n")])
def test_when_nothing_was_said_there_is_no_prompt(turns: list[Turn]) -> None:
    with pytest.raises(PromptError, match="nothing was said"):
        fit(turns, ENCODER, max_turns=9, max_tokens=99)


@pytest.mark.parametrize("max_tokens", [1, 0, -7])
def test_without_room_for_a_token_and_its_end_there_is_no_prompt(max_tokens: int) -> None:
    with pytest.raises(PromptError, match="no room"):
        fit(said("a"), ENCODER, max_turns=9, max_tokens=max_tokens)


@given(
    st.lists(st.text(max_size=12), min_size=1, max_size=8).filter(lambda texts: any(map(clean_turn, texts))),
    st.integers(1, 6),
    st.integers(2, 40),
)
def test_a_prompt_never_exceeds_its_bounds_and_ends_with_the_newest_turn(
    texts: list[str], max_turns: int, max_tokens: int
) -> None:
    spoken = [Turn(text) for text in texts if clean_turn(text)]

    prompt = fit([Turn(text) for text in texts], ENCODER, max_turns, max_tokens)

    assert 1 <= len(prompt.turns) <= max_turns
    assert 2 <= len(prompt.ids) <= max_tokens
    assert prompt.ids[-1] == ENCODER.end_id
    assert prompt.turns == tuple(spoken[-len(prompt.turns) :])
    assert prompt.is_cut == (len(ENCODER.encode_turn(spoken[-1].text)) > max_tokens)


@pytest.mark.parametrize(
    "case", json.loads(PROMPTS.read_text())["console"], ids=lambda case: case["max_turns_history"]
)
def test_the_window_gives_the_prompts_of_gpt2bot_in_its_console(case: dict[str, Any]) -> None:
    """Its max_turns_history = n means n earlier pairs of turns and the current one; below 0 means all.

    Source: recorded from gpt2bot, revision b3a1536, with a generator that replies "reply 1", "reply 2", ….
    """
    pairs = case["max_turns_history"]
    max_turns = 2 * pairs + 1 if pairs >= 0 else 1000

    turns: list[Turn] = []
    prompts = []
    for text in case["inputs"]:
        if text.startswith("/"):
            turns = [] if text.lower() in ("/reset", "/start") else turns
            continue
        turns.append(Turn(text))
        window = fit(turns, ENCODER, max_turns, max_tokens=1000).turns
        prompts.append("".join(clean_turn(turn.text) + END_OF_TEXT for turn in window))
        turns.append(Turn(f"reply {len(prompts)}"))

    assert prompts == case["prompts"]
