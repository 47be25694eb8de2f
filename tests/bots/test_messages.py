"""Values of the seam: what they refuse, and that any of them can be stored."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bots.messages import (
    LOCAL,
    ChatKey,
    Command,
    Deleted,
    Edited,
    Event,
    Incoming,
    Limits,
    Moved,
    Origin,
    Outgoing,
    Presence,
    Reaction,
    User,
    storable,
)

CHAT = ChatKey("telegram", "110201543", "-100123", "7")
ORIGIN = Origin(
    key="m:-100123:5:0",
    chat=CHAT,
    when=datetime(2026, 11, 20, 9, 30, tzinfo=timezone(timedelta(hours=1))),
    user=User("42", "Ann", roles=("1", "2")),
    message_id="5",
    guild="9",
    answer_by="not to be shown",
)
EVENTS: list[Event] = [
    Incoming("hello", ORIGIN, is_addressed=False, reply_to="4"),
    Command("persona", "odile", ORIGIN),
    Edited("hello!", ORIGIN),
    Reaction("3", ("👍",), (), ORIGIN),
    Deleted(("3", "4"), ORIGIN),
    Presence(False, ORIGIN),
    Moved(ChatKey("telegram", "110201543", "-100999"), ORIGIN),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_from_json_as_it_was(event: Event) -> None:
    stored = TypeAdapter(type(event)).dump_json(event)
    assert TypeAdapter(type(event)).validate_json(stored) == event


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Origin(key="1", chat=CHAT, when=datetime(2026, 11, 20))  # noqa: DTZ001 - that is the mistake


def test_what_answers_go_by_is_not_shown() -> None:
    assert "not to be shown" not in repr([ORIGIN, Outgoing("hi", answer_by="not to be shown")])


def test_the_console_needs_no_origin() -> None:
    assert Incoming("hello").origin is LOCAL
    assert LOCAL.when == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("unit", "length"), [("characters", 3), ("utf16", 4)])
def test_length_is_counted_in_the_unit_of_the_platform(unit: str, length: int) -> None:
    assert Limits(max_len=10, unit=unit).length("a👋b") == length


def test_a_limit_that_takes_no_emoji_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Limits(max_len=1)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_whole_text_stays_as_it_is_when_made_storable(text: str) -> None:
    assert storable(text) == text


@given(st.text(st.characters()))
def test_any_text_can_be_stored_after_that(text: str) -> None:
    assert "\x00" not in storable(text).encode("utf-8").decode("utf-8")
    assert storable(storable(text)) == storable(text)


@pytest.mark.parametrize(
    ("text", "stored"), [("a\ud83db", "a\ufffdb"), ("\ud83d", "\ufffd"), ("\ud83d\udc4b", "👋")]
)
def test_halves_of_an_emoji_are_joined_or_marked(text: str, stored: str) -> None:
    assert storable(text) == stored
