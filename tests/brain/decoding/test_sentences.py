import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain.decoding.sentences import shorter_wholes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I do. I like it! And then I", ["I do. I like it!", "I do."]),
        ("One sentence only.", []),
        ("No end at all", []),
        ("", []),
        ("Wait... what?! No way", ["Wait... what?!", "Wait..."]),
        ('She said "go." Then she', ['She said "go."']),
        ("I met Mr. Brown at J. Crew. He", ["I met Mr. Brown at J. Crew."]),
        ("It costs 3.50 at shop.example.org", []),
        ("\u597d\u3002\u4f60\u5462\uff1f\u6211\u5f88", ["\u597d\u3002\u4f60\u5462\uff1f", "\u597d\u3002"]),
        ("Done.   ", []),
    ],
)
def test_beginnings_end_with_a_sentence_and_come_longest_first(text: str, expected: list[str]) -> None:
    assert list(shorter_wholes(text)) == expected


@given(st.text(alphabet="ab .!?\u3002\"'", max_size=60))
def test_every_beginning_is_a_shorter_prefix(text: str) -> None:
    found = list(shorter_wholes(text))

    assert all(text.startswith(part) and len(part) < len(text.rstrip()) for part in found)
    assert [len(part) for part in found] == sorted({len(part) for part in found}, reverse=True)
