"""From files to sessions: cut, merged, masked, deduplicated, held out."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain.contacts import mask
from brain.errors import BrainError, ConfigError, DataError
from brain.finetune.sessions import read_sessions
from brain.finetune.sources import writing
from brain.finetune.sources.config import ImportConfig, SourceName
from brain.finetune.sources.formats import READERS
from brain.finetune.sources.importing import Import, Preview, Request, num_held_out


def run(
    source: SourceName, *files: Path, speaker: str | None = "Ben", **options: Any
) -> tuple[Preview, list[dict[str, Any]]]:
    with Import(Request(source, files, speaker, ImportConfig(**options))) as work:
        work.read()
        found = work.cut(work.character())
        return found, [json.loads(body) for body in work.bodies()]


def chat(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"14/03/2024, {line}\n" for line in lines), encoding="utf-8")
    return path


def texts(session: dict[str, Any]) -> list[str]:
    return [turn["text"] for turn in session["turns"]]


def test_only_the_character_carries_loss_and_runs_are_joined(tmp_path: Path) -> None:
    path = chat(
        tmp_path / "a.txt", "10:00 - Ann: hi", "10:00 - Ann: there", "10:01 - Ben: ho", "10:02 - Cy: hm"
    )
    found, [session] = run("whatsapp", path)
    assert session["turns"] == [
        {"text": "hi there", "speaker": "Ann", "weight": 0},
        {"text": "ho", "speaker": "Ben", "weight": 1},
        {"text": "hm", "speaker": "Cy", "weight": 0},
    ]
    assert session["source"] == "whatsapp/a.txt"
    assert (found.turns, found.trained_turns, found.held_out) == (3, 1, 0)


def test_a_silence_ends_a_session(tmp_path: Path) -> None:
    said = ("10:00 - Ann: a", "10:59 - Ben: b", "12:00 - Ann: c", "12:01 - Ben: d")
    path = chat(tmp_path / "a.txt", *said)
    assert [texts(one) for one in run("whatsapp", path)[1]] == [["a", "b"], ["c", "d"]]
    assert [texts(one) for one in run("whatsapp", path, gap_s=7200)[1]] == [["a", "b", "c", "d"]]
    assert [texts(one) for one in run("whatsapp", path, gap_s=60)[1]] == [["c", "d"]]


def test_what_is_dropped_is_counted_by_rule(tmp_path: Path) -> None:
    path = chat(
        tmp_path / "a.txt", "10:00 - a notice", "10:00 - Ann: <Media omitted>", "10:00 - Ann: \u200b \u2060",
        "10:00 - Ann: a", "10:01 - Ben: b", "13:00 - Ann: alone", "15:00 - Ann: a", "15:00 - Ben: b",
    )  # fmt: skip
    found, sessions = run("whatsapp", path)
    assert len(sessions) == 1
    assert found.dropped == {"system": 1, "media": 1, "empty": 1, "no answer": 1, "duplicate session": 1}


def test_exports_that_overlap_become_one_chat(tmp_path: Path) -> None:
    early = chat(tmp_path / "a.txt", "10:00 - Ann: ok", "10:00 - Ann: ok", "10:01 - Ben: b", "10:02 - Ann: c")
    late = chat(tmp_path / "b.txt", "10:01 - Ben: b", "10:02 - Ann: c", "10:03 - Ben: d")
    found, sessions = run("whatsapp", late, early)
    assert [texts(one) for one in sessions] == [["ok ok", "b", "c", "d"]]
    assert found.dropped == {"seen twice": 2}


def test_exports_of_different_chats_stay_apart(tmp_path: Path) -> None:
    one = chat(tmp_path / "a.txt", "10:00 - Ann: a", "10:01 - Ben: b", "10:02 - Ann: x", "10:03 - Ben: x")
    other = chat(tmp_path / "b.txt", "10:00 - Cy: c", "10:01 - Ben: b", "10:02 - Cy: y")
    _, sessions = run("whatsapp", one, other)
    assert sorted(texts(session) for session in sessions) == [["a", "b", "x", "x"], ["c", "b", "y"]]


def test_telegram_exports_are_joined_by_message_ids(tmp_path: Path) -> None:
    def export(name: str, numbers: range) -> Path:
        said = [
            {"id": at, "type": "message", "date_unixtime": str(at * 60), "from": "Ann" if at % 2 else "Ben",
             "from_id": str(at % 2), "text": f"line {at} of {name}"}
            for at in numbers
        ]  # fmt: skip
        path = tmp_path / name
        path.write_text(json.dumps({"id": 5, "messages": said}))
        return path

    found, [session] = run("telegram", export("a", range(1, 5)), export("b", range(3, 7)))
    assert texts(session) == [
        "line 1 of a",
        "line 2 of a",
        "line 3 of a",
        "line 4 of a",
        "line 5 of b",
        "line 6 of b",
    ]
    assert found.dropped == {"seen twice": 2}


def test_the_newest_sessions_are_held_out(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "".join(
            f"{day:02}/03/2024, 10:00 - Ann: a{day}\n{day:02}/03/2024, 10:01 - Ben: b\n"
            for day in range(1, 21)
        )
    )
    found, sessions = run("whatsapp", path)
    assert found.held_out == 2
    writing.write((json.dumps(one) for one in sessions), 18, tmp_path / "o.jsonl", True)
    assert len(list(read_sessions(tmp_path / "o.jsonl"))) == 18
    assert [one.turns[0].text for one in read_sessions(tmp_path / "o.dev.jsonl")] == ["a19", "a20"]


@pytest.mark.parametrize(
    ("num", "share", "held"), [(1, 0.1, 0), (2, 0.1, 1), (30, 0.1, 3), (2, 0.9, 1), (9, 0.0, 0)]
)
def test_at_least_one_session_is_held_out_and_one_is_kept(num: int, share: float, held: int) -> None:
    assert num_held_out(num, share) == held


def test_a_speaker_is_found_or_named(tmp_path: Path) -> None:
    path = chat(tmp_path / "a.txt", "10:00 - Ann: a", "10:01 - Benedikt: b")
    assert run("whatsapp", path, speaker="BENEDIKT")[0].trained_turns == 1
    with pytest.raises(
        ConfigError, match=r"did you mean 'Benedikt'\? there are 'Ann' \(1\), 'Benedikt' \(1\)"
    ):
        run("whatsapp", path, speaker="Bendikt")
    with pytest.raises(ConfigError, match=r"--speaker is missing: .*'Ann'"):
        run("whatsapp", path, speaker=None)
    with pytest.raises(DataError, match="Ann answers nobody"):
        run("whatsapp", path, speaker="Ann")


def test_two_of_one_name_are_told_apart_by_id(tmp_path: Path) -> None:
    said = [{"id": at, "type": "message", "date_unixtime": str(at), "from": "Alex",
             "from_id": f"user{at % 2}", "text": str(at)}
            for at in range(4)]  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps({"id": 1, "messages": said}))
    with pytest.raises(
        ConfigError, match="several speakers are called 'Alex'; say --speaker 'user0' or 'user1'"
    ):
        run("telegram", tmp_path / "r.json", speaker="Alex")
    assert run("telegram", tmp_path / "r.json", speaker="user1")[0].trained_turns == 2


def test_nothing_unseen_is_left_in_a_text_and_a_typed_end_stays_text(tmp_path: Path) -> None:
    path = chat(tmp_path / "a.txt", "10:00 - Ann: a\u202eb\x07c <|endoftext|> Ben: d", "10:01 - Ben: x")
    _, [session] = run("whatsapp", path)
    assert texts(session)[0] == "abc <|endoftext|> Ben: d"


CONTACTS = {
    "write to ann.lee+tea@mail.example.org!": "write to [email]!",
    "call +49 170 1234567 (home)": "call [phone] (home)",
    "or (030) 123 45 67.": "or [phone].",
    "or 0170/1234567": "or [phone]",
    "or 555-867-5309": "or [phone]",
    "or +1 (212) 555-0142": "or [phone]",
    "или 8 (912) 345-67-89": "или [phone]",
    "DE89 3704 0044 0532 0130 00 is mine": "[iban] is mine",
    "card 4111 1111 1111 1111": "card [card]",
    "https://ann:hunter2@example.org/x": "[link]",
    "https://example.org/a?token=abcdef": "[link]",
    "I live at 12 Baker Street": "I live at [address]",
    "Musterstraße 12 im Hof": "[address] im Hof",
}
HARMLESS = [
    "at 12:30 on 14.03.2024", "2024-03-14 10:00", "it is 1,234,567.89 euros", "pi is 3.14159265358979",
    "2 + 2 = 4",
    "https://example.org/a?page=2", "see you @ nine", "DE00 1234 1234 1234 1234 00", "4111 1111 1111 1112",
    "01.02.2024 18:00", "1000000", "10 000 000 people", "room 101", "192.168.0.1",
]  # fmt: skip


@pytest.mark.parametrize(("text", "masked"), CONTACTS.items())
def test_contact_data_is_masked(text: str, masked: str) -> None:
    assert mask(text)[0] == masked
    assert mask(text)[1].total() == 1


@pytest.mark.parametrize("text", HARMLESS)
def test_other_numbers_stay(text: str) -> None:
    assert mask(text) == (text, {})


def test_contact_data_can_be_kept_and_is_counted(tmp_path: Path) -> None:
    path = chat(tmp_path / "a.txt", "10:00 - +49 170 1234567: I am ann@example.org", "10:01 - Ben: b")
    found, [session] = run("whatsapp", path)
    assert session["turns"][0] == {"text": "I am [email]", "speaker": "[phone] 1", "weight": 0}
    assert found.contacts == {"email": 1}
    assert texts(run("whatsapp", path, keep_contact_data=True)[1][0])[0] == "I am ann@example.org"


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    def bodies() -> Any:
        yield "{}"
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="No space left"):
        writing.write(bodies(), 5, tmp_path / "o.jsonl", False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", READERS)
@given(
    data=st.binary(max_size=200)
    | st.text('{}[]",:0123456789abc \n\\<|im_start>/.-', max_size=200).map(str.encode)
    | st.sampled_from(
        [b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"PK\x05\x06", b"\xff\xfe", b"14/03/2024, 10:00 - A: b\n"]
    ).flatmap(lambda head: st.binary(max_size=80).map(lambda tail: head + tail))
)
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_sessions_or_one_sentence(
    source: SourceName, data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("f") / "x"
    path.write_bytes(data)
    for speaker in ("A", None):
        try:
            run(source, path, speaker=speaker)
        except BrainError:
            continue
