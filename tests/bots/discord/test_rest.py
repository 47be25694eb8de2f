"""What Discord's refusals mean to the core."""

import json

import pytest

from bots.discord.rest import MessageGone, error_from_answer
from bots.errors import AdapterError, AdapterUnauthorized, ChatGone, RetryAfter, SendFailed, SendRefused


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, 0, AdapterUnauthorized),
        (403, 50001, ChatGone),
        (403, 50007, ChatGone),
        (403, 50013, ChatGone),
        (404, 10003, ChatGone),
        (404, 10008, MessageGone),
        (404, 0, SendRefused),
        (400, 50035, SendRefused),
        (413, 40005, SendRefused),
        (301, 0, SendFailed),
        (500, 0, SendFailed),
        (503, 0, SendFailed),
        (524, 0, SendFailed),
    ],
)
def test_a_refusal_becomes_one_of_our_errors(status: int, code: int, kind: type[AdapterError]) -> None:
    raw = json.dumps({"message": "no", "code": code}).encode()
    assert type(error_from_answer(status, raw, "")) is kind


def test_the_token_of_an_interaction_is_not_the_bots() -> None:
    assert type(error_from_answer(401, b'{"code": 50027}', "", is_bot=False)) is SendRefused


def test_a_block_page_does_not_mean_that_a_chat_is_gone() -> None:
    assert type(error_from_answer(403, b"<html>blocked", "")) is SendFailed


@pytest.mark.parametrize(
    ("raw", "header", "seconds"),
    [
        (b'{"retry_after": 0.25}', "9", 0.25),
        (b'{"retry_after": "soon"}', "9", 9.0),
        (b"<html>", "7.5", 7.5),
        (b'{"retry_after": -1}', "nan", 1.0),
        (b'{"retry_after": 1e300}', "", 3600.0),
    ],
)
def test_the_pause_is_what_discord_asks_for(raw: bytes, header: str, seconds: float) -> None:
    error = error_from_answer(429, raw, header)
    assert isinstance(error, RetryAfter)
    assert (error.seconds, error.is_overall) == (seconds, False)


def test_a_pause_for_all_is_told_apart() -> None:
    error = error_from_answer(429, b'{"retry_after": 1, "global": true}', "")
    assert isinstance(error, RetryAfter)
    assert error.is_overall
