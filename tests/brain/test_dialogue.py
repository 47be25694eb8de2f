import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from brain.dialogue import Candidate, Conversation, Turn


def said(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn(text) for text in texts)


@pytest.mark.parametrize(
    ("texts", "bot"),
    [
        ((), ()),
        (("hi",), ()),
        (("hi", "hello", "how are you?"), ("hello",)),
        (("greeting", "hi", "hello", "bye"), ("greeting", "hello")),
    ],
)
def test_the_bots_turns_are_every_second_one_counted_back_from_the_last(
    texts: tuple[str, ...], bot: tuple[str, ...]
) -> None:
    assert Conversation(said(*texts)).bot_turns == said(*bot)


def test_values_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Turn("hi").text = "ho"  # type: ignore[misc]


def test_a_candidate_starts_without_scores_and_unrefused() -> None:
    candidate = Candidate("hi", (1,), -1.0, "stop")

    assert (dict(candidate.scores), candidate.refused) == ({}, None)


def test_the_values_need_the_standard_library_only() -> None:
    heavy = ("torch", "pydantic", "tokenizers")
    code = f"import brain.dialogue, sys; sys.exit(any(name in sys.modules for name in {heavy}))"

    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
