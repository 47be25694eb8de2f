"""Promises of the checks: what may be said, what may not, and why."""

import pytest

from brain.config import ChecksConfig
from brain.decoding.checks import Heard, heard_from_conversation, refusal
from brain.dialogue import Conversation, Turn

CHECKS = ChecksConfig()


def talk(*texts: str, num_turns: int = CHECKS.echo_turns) -> Heard:
    return heard_from_conversation(Conversation(tuple(Turn(text) for text in texts)), num_turns)


def why(text: str, *said: str, checks: ChecksConfig = CHECKS) -> str | None:
    heard = talk(*said or ("What is up?",), num_turns=checks.echo_turns)
    return refusal(text, "stop", heard, checks)


@pytest.mark.parametrize(
    "text",
    [
        "Fine, thanks!",
        "42",
        "👍",
        "❤️",
        "no",
        "I don't know, I don't care.",
        "ha ha",
        "是的",
        "नमस्ते दोस्त",
        "a b a",
    ],
)
def test_an_ordinary_reply_may_be_said(text: str) -> None:
    assert why(text) is None


@pytest.mark.parametrize("text", ["", "  ", "...", "?!", "_", "\ufffd", "\u200d\ufe0f", "- -"])
def test_a_reply_without_letter_digit_or_emoji_is_empty(text: str) -> None:
    assert why(text) == "empty"


@pytest.mark.parametrize(
    ("text", "turn"),
    [
        ("how are you", "How are you?"),
        ("GOODNIGHT", "good night!"),
        ("\uff48\uff45\uff4c\uff4c\uff4f", "hello"),
        ("👍", "👍"),
        ("you are my best friend too", "You are my best friend."),
        ("do you like the sea", "And do you like the sea?"),
        ("like the sea so much", "I like the sea so much, you know"),
    ],
)
def test_saying_what_the_user_said_is_an_echo(text: str, turn: str) -> None:
    assert why(text, "Hi", "Hello there", turn) == "echo of the user"


@pytest.mark.parametrize(
    ("text", "turn"),
    [
        ("pizza", "Do you like pizza or pasta?"),
        ("you like pizza too?", "I like pizza"),
        ("do you like the sea and the mountains", "do you like the sea"),
        ("the sea", "do you like the sea"),
    ],
)
def test_taking_up_words_of_the_user_is_no_echo(text: str, turn: str) -> None:
    assert why(text, turn) is None


def test_of_a_very_long_turn_only_the_end_is_compared() -> None:
    heard = talk(f"the sea is cold today {'word ' * 100_000} the moon is bright tonight  ")

    assert refusal("the moon is bright tonight", "stop", heard, CHECKS) == "echo of the user"
    assert refusal("the sea is cold today", "stop", heard, CHECKS) is None
    assert sum(len(saying.words) for saying in heard.user) < 5000


def test_the_bot_may_not_say_again_what_it_said() -> None:
    assert why("I like tea.", "Hi", "i like tea", "Really?") == "echo of itself"
    assert why("I like tea.", "Hi", "i like coffee", "Really?") is None


def test_only_the_last_turns_of_each_side_are_compared() -> None:
    said = ("one two", "three four", "five six", "seven eight", "nine ten")  # the user has 1, 3 and 5

    assert why("one two", *said, checks=ChecksConfig(echo_turns=3)) == "echo of the user"
    assert why("one two", *said, checks=ChecksConfig(echo_turns=2)) is None
    assert why("three four", *said, checks=ChecksConfig(echo_turns=2)) == "echo of itself"
    assert why("three four", *said, checks=ChecksConfig(echo_turns=1)) is None
    assert why("nine ten", *said, checks=ChecksConfig(echo_turns=0)) is None


@pytest.mark.parametrize(
    "text",
    [
        "no no no",
        "No, no, no!",
        "very good very good",
        "I am here, and I am here, you know",
        "what do you mean what, do you mean?",
        "yes yes yes yes yes",
    ],
)
def test_a_reply_that_turns_in_circles_is_a_loop(text: str) -> None:
    assert why(text) == "loop"


def test_the_allowed_repeats_and_the_length_of_ngrams_are_settings() -> None:
    text = "i am here and i am here"

    assert why(text, checks=ChecksConfig(max_repeats=2)) is None
    assert why(text, checks=ChecksConfig(ngram=4)) is None
    assert why("so and so", checks=ChecksConfig(ngram=1)) == "loop"


def test_a_reply_without_end_is_cut_off() -> None:
    assert refusal("and then I", "length", talk("Hi"), CHECKS) == "cut off"
    assert refusal("and then I", "aborted", talk("Hi"), CHECKS) == "cut off"


@pytest.mark.parametrize(
    "text", ["You ROTTER!", "rotter's mate", "a \uff52\uff4ftter", "_rotter_", "hot  potato!", "so 🍆"]
)
def test_blocked_words_and_phrases_are_found_in_any_dress(text: str) -> None:
    checks = ChecksConfig(blocked_words=("Rotter", "hot potato", "🍆"))

    assert why(text, checks=checks) == "blocked word"


def test_a_blocked_word_inside_another_word_is_not_meant() -> None:
    checks = ChecksConfig(blocked_words=("ass", "hot potato"))

    assert why("a class of hot tea and potato", checks=checks) is None
