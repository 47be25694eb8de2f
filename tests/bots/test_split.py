"""Splitting: nothing is lost, nothing is too long, no letter is torn."""

import time
from typing import Literal

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from bots.messages import Limits
from bots.split import split

Unit = Literal["utf16", "characters"]
UNITS: list[Unit] = ["utf16", "characters"]
FAMILY = "👨‍👩‍👧‍👦"
PIECES = ["word", " ", "\n", "\n\n", ". ", "。", "👋", FAMILY, "🇩🇪", "e\u0301", "\r\n", "\u202e", "\x00"]

texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=200).map("".join),
    st.text(st.characters(), max_size=300),  # lone surrogates included
)


@given(texts, st.integers(2, 60), st.sampled_from(UNITS))
def test_parts_fit_and_join_back_to_the_text(text: str, max_len: int, unit: Unit) -> None:
    limits = Limits(max_len=max_len, unit=unit)
    parts = split(text, limits)
    assert "".join(parts) == text
    assert all(0 < limits.length(part) <= max_len for part in parts)


@given(texts, st.sampled_from(UNITS))
def test_a_letter_as_people_see_it_stays_whole_if_it_fits(text: str, unit: Unit) -> None:
    limits = Limits(max_len=30, unit=unit)
    clusters = regex.findall(r"\X", text)
    if any(limits.length(cluster) > limits.max_len for cluster in clusters):
        return
    ends = {sum(map(len, clusters[:num])) for num in range(len(clusters) + 1)}
    parts = split(text, limits)
    assert {sum(map(len, parts[:num])) for num in range(len(parts) + 1)} <= ends


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One two.\n\nThree. Four five", ("One two.\n\n", "Three. Four five")),
        ("One, two.\nThree. Four five", ("One, two.\n", "Three. Four five")),
        ("Three. And four. Five", ("Three. And four. ", "Five")),
        ('He said "no way." Five', ('He said "no way." ', "Five")),
        ("some words without an end", ("some words without ", "an end")),
        ("一二三四五六七八九十。一二三四五六七八九十", ("一二三四五六七八九十。", "一二三四五六七八九十")),
        ("x" * 25, ("x" * 20, "x" * 5)),
        ("fits", ("fits",)),
        ("", ()),
    ],
)
def test_the_best_place_in_the_second_half_is_taken(text: str, parts: tuple[str, ...]) -> None:
    assert split(text, Limits(max_len=20)) == parts


def test_a_family_is_not_torn_apart() -> None:
    assert split("ab" + FAMILY, Limits(max_len=12, unit="utf16")) == ("ab", FAMILY)


def test_a_letter_longer_than_a_message_is_cut_between_code_points() -> None:
    assert split("e" + "\u0301" * 30, Limits(max_len=20)) == ("e" + "\u0301" * 19, "\u0301" * 11)


def test_a_surrogate_pair_of_two_characters_is_not_torn() -> None:
    assert split("a\ud83d\udc4b\ud83d\udc4b", Limits(max_len=2)) == ("a", "\ud83d\udc4b", "\ud83d\udc4b")


@pytest.mark.parametrize("piece", ["a", "e\u0301", "\u0301", "🇩🇪", FAMILY, "\n", " ", ".", "\ud83d\udc4b"])
def test_a_hundred_thousand_characters_take_no_time_to_speak_of(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    begin = time.perf_counter()
    parts = split(text, Limits(max_len=4096, unit="utf16"))
    assert "".join(parts) == text
    assert time.perf_counter() - begin < 5  # tens of milliseconds; quadratic would be minutes
