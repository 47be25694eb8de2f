"""Files of dialogues become sessions, or one sentence with the line that spoils them."""

import gzip
import json
import random
from pathlib import Path

import pytest

from brain.dialogue import Turn
from brain.errors import DataError
from brain.finetune.sessions import read_sessions, sample, split_rate


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_plain_turns_and_weighted_turns_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        {"turns": ["hi", "hello"]},
        {
            "turns": [{"text": "a", "weight": 0}, {"text": "b", "speaker": "Odile", "weight": 0.5}],
            "source": "x",
        },
    )

    first, second = read_sessions(path)

    assert first.turns == (Turn("hi"), Turn("hello"))
    assert first.weights == (1.0, 1.0)
    assert (second.weights, second.source, second.turns[1].speaker) == ((0.0, 0.5), "x", "Odile")


def test_a_transcript_is_grouped_by_session(tmp_path: Path) -> None:
    rows = [{"session": i // 3, "speaker": "ab"[i % 2], "text": f"t{i}"} for i in range(6)]

    sessions = list(read_sessions(write(tmp_path / "transcript.jsonl", *rows)))

    assert [[turn.text for turn in session.turns] for session in sessions] == [
        ["t0", "t1", "t2"],
        ["t3", "t4", "t5"],
    ]


def test_gzip_is_read_and_sessions_of_one_turn_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"turns": ["alone"]}\n\n{"turns": ["hi", "hello"]}\n'))

    assert len(list(read_sessions(path))) == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not valid JSON"),
        ("[1]", "not an object"),
        ('{"turns": "hi"}', 'no list "turns"'),
        ('{"turns": ["hi", 3]}', "a turn must be"),
        ('{"turns": ["hi", {"text": "x", "weight": -1}]}', '"weight" must be'),
        ('{"turns": ["hi", {"text": "x", "weight": NaN}]}', '"weight" must be'),
    ],
)
def test_a_bad_line_is_named_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"turns": ["hi", "hello"]}\n' + line + "\n")

    with pytest.raises(DataError, match=reason) as caught:
        list(read_sessions(path))

    assert caught.value.line_no == 2


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", None])
def test_an_unreadable_file_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError, match=r"x\.jsonl"):
        list(read_sessions(path))


def test_a_truncated_gzip_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"turns": ["hi", "hello"]}\n' * 500)[:-20])

    with pytest.raises(DataError, match="cannot be read"):
        list(read_sessions(path))


def test_sampling_takes_a_share_or_copies(tmp_path: Path) -> None:
    sessions = list(
        read_sessions(write(tmp_path / "a.jsonl", *({"turns": [str(i), "x"]} for i in range(100))))
    )

    tenth = sample(sessions, 0.1, random.Random(1))
    more = sample(sessions, 2.5, random.Random(1))

    assert len(set(tenth)) == 10
    assert len(more) == 250


def test_a_rate_is_split_off_unless_the_file_has_that_name(tmp_path: Path) -> None:
    odd = tmp_path / "a@2"
    odd.write_text("x")

    assert split_rate("data.jsonl@0.25") == (Path("data.jsonl"), 0.25)
    assert split_rate(str(odd)) == (odd, 1.0)
    with pytest.raises(DataError, match="not a sampling rate"):
        split_rate("data.jsonl@often")
    with pytest.raises(DataError, match="above 0"):
        split_rate("data.jsonl@nan")
