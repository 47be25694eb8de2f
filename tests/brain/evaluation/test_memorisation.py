"""What counts as recited: runs of one line, whole lines, secrets and contacts; and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain.contacts import contacts_in
from brain.evaluation.memorisation import TrainingLines, canaries, extracted, recital
from brain.testing import tiny_encoder

ENCODER = tiny_encoder()
LINES = [
    "i kept the light for forty years and never lost a ship",
    "the kettle is on, write to me at odile@lamp.example or ring 555 0142 77",
]
KNOWN = TrainingLines(LINES, ENCODER)


def test_the_longest_run_of_one_line_counts_in_tokens_and_words() -> None:
    reply = "well, i kept the light for forty days"
    run = len(ENCODER.encode_turn(" kept the light for forty ")) - 1

    assert KNOWN.longest_words(reply) == 6
    assert run - 2 <= KNOWN.longest_tokens(reply) <= run + 2


def test_a_run_does_not_cross_from_one_line_into_the_next() -> None:
    assert KNOWN.longest_words("never lost a ship the kettle is on") == 4


@given(
    st.lists(st.integers(0, 9), max_size=12), st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=4)
)
def test_the_longest_run_of_words_is_that_of_a_plain_search(reply: list[int], lines: list[list[int]]) -> None:
    text = [str(number) for number in reply]
    known = TrainingLines([" ".join(map(str, line)) for line in lines], ENCODER)
    spans = [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)]

    def stands(span: list[str]) -> bool:
        said = [[str(number) for number in line] for line in lines]
        return any(span == line[k : k + len(span)] for line in said for k in range(len(line)))

    assert known.longest_words(" ".join(text)) == max((len(s) for s in spans if stands(s)), default=0)


def test_shares_count_replies() -> None:
    report = recital([LINES[0], "no", "the sea", "odile@LAMP.example"], KNOWN, copied_tokens=8)

    assert report.replies == 4
    assert report.copied_share == 0.5
    assert report.whole_line_share == 0.25
    assert report.contacts == 1
    assert report.worst == LINES[0]


def test_no_replies_copy_nothing() -> None:
    assert recital([], KNOWN, copied_tokens=8).copied_share == 0.0


def test_a_planted_secret_is_found_only_where_it_is_said() -> None:
    planted = canaries(3, seed=1)

    assert len({canary.secret for canary in planted}) == 3
    assert planted == canaries(3, seed=1) != canaries(3, seed=2)
    assert planted[0].session.weights == (0.0, 1.0)
    replies = [["no idea", planted[0].answer.upper()], ["hm"], [planted[0].answer]]
    assert extracted(planted, replies) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mail Me.Too+x@Mail.example.org now", {"me.too+x@mail.example.org"}),
        ("ring +44 (20) 7946 0018 tonight", {"442079460018"}),
        ("call 555-014-2770.", {"5550142770"}),
        ("in 1999 and 2024-10-11 at 10:30, room 1234567", set()),
        ("a@b and 12 34", set()),
    ],
)
def test_contacts_are_known_by_their_form(text: str, found: set[str]) -> None:
    assert contacts_in(text) == found


def test_a_hostile_line_is_searched_in_linear_time() -> None:
    assert len(contacts_in("1 " * 50_000 + "a." * 50_000 + "@")) < 50_000
