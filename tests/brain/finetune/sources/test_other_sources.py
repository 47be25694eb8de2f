"""CSV, plain text and character cards; archives and pictures that mean harm."""

import base64
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from brain.errors import DataError
from brain.finetune.sources import archive, card, plain, png, table, text_files, whatsapp
from brain.finetune.sources.config import SourceName
from brain.finetune.sources.formats import READERS
from brain.finetune.sources.messages import Reading

Said = list[tuple[str, str, str]]


def read(source: SourceName, path: Path, data: str | bytes, **columns: str) -> Said:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [
        (one.chat, one.speaker, one.text) for one in READERS[source](path, Reading("auto", columns)).messages
    ]


def test_a_script_in_columns_begins_a_session_where_the_episode_changes(tmp_path: Path) -> None:
    text = 'index,season no.,episode no.,episode name,name,line\n0,1,1,Pilot,Ann,"Hi, you"\n'
    text += '1,1,1,Pilot,Ben,"two\nlines"\n'
    said = read("csv", tmp_path / "a.csv", text + '2,1,2,Next,Ann,"say ""ah"""\n')
    assert said == [("1", "Ann", "Hi, you"), ("1", "Ben", "two\nlines"), ("2", "Ann", 'say "ah"')]


def test_responses_follow_their_context_oldest_first(tmp_path: Path) -> None:
    said = read("csv", tmp_path / "a.csv", "response,context,context/0,context/1\nd,c,b,a\n")
    assert [text for _, _, text in said] == ["a", "b", "c", "d"]
    assert len({name for _, name, _ in said}) == 4


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_can_be_named_and_the_delimiter_is_found(delimiter: str, tmp_path: Path) -> None:
    text = "Who;What;Scene\nAnn;hi;1\nBen;ho;2\n".replace(";", delimiter)
    said = read("csv", tmp_path / "a.csv", text, speaker="who", text="what", session="scene")
    assert said == [("1", "Ann", "hi"), ("2", "Ben", "ho")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "no column for the speaker"),
        ("name,line\nAnn\n", "line 2: has 1 columns"),
        ('name,line\nAnn,"open\n', "line 2: is not CSV"),
        ("name,line\nAnn," + "x" * (text_files.MAX_LINE + 1), "line 2: is longer"),
        (b"name,line\nAnn,\xff\xfe\n", "line 2: is not UTF-8"),
    ],
)
def test_a_broken_table_says_where(text: str | bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read("csv", tmp_path / "a.csv", text)


def test_plain_text_is_cut_at_empty_lines(tmp_path: Path) -> None:
    text = "Ann: hi\nBen:ho\n  and more: yes\nno name here\n\n---\n"
    text += "Ann: see https://example.org\nCol. Mustard : 12:30\n"
    assert read("plain", tmp_path / "a.txt", text) == [
        ("1", "Ann", "hi"),
        ("1", "Ben", "ho\n  and more: yes\nno name here"),
        ("2", "Ann", "see https://example.org"),
        ("2", "Col. Mustard", "12:30"),
    ]


def test_plain_text_without_a_speaker_says_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: no speaker"):
        read("plain", tmp_path / "a.txt", "\nhello there\n")


CARD: dict[str, Any] = {
    "spec": "chara_card_v2",
    "spec_version": "2.0",
    "data": {
        "name": "Mira",
        "description": "{{char}} bakes. She hums.",
        "first_mes": "Come in, {{user}}!",
        "mes_example": "<START>\n{{user}}: bread?\n{{char}}: Rye.\n*wraps it*\n"
        "<START>\n{{User}}: bye\n{{Char}}: Bye: soon",
        "extensions": {"shop/oven": {"hot": True}},
    },
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def picture(*chunks: bytes) -> bytes:
    return b"".join([png.SIGNATURE, chunk(b"IHDR", bytes(13)), *chunks, chunk(b"IEND", b"")])


PACKED = base64.b64encode(json.dumps(CARD).encode())
CARDS = {
    "v2": json.dumps(CARD).encode(),
    "v1": json.dumps(CARD["data"]).encode(),
    "png": picture(chunk(b"tEXt", b"chara\0" + PACKED)),
    "zTXt": picture(chunk(b"zTXt", b"chara\0\0" + zlib.compress(PACKED))),
    "iTXt": picture(chunk(b"iTXt", b"ccv3\0\1\0\0\0" + zlib.compress(PACKED))),
    "v3 beside v2": picture(chunk(b"tEXt", b"chara\0e30="), chunk(b"tEXt", b"ccv3\0" + PACKED)),
}


@pytest.mark.parametrize("data", CARDS.values(), ids=CARDS)
def test_a_card_has_greeting_and_examples(data: bytes, tmp_path: Path) -> None:
    said = read("card", tmp_path / "card", data)
    loaded = card.load_card(tmp_path / "card")
    assert [text for _, _, text in said] == ["bread?", "Rye.\n*wraps it*", "bye", "Bye: soon"]
    assert [name for _, name, _ in said] == ["User", "Mira"] * 2
    assert (loaded.name, loaded.greeting, loaded.description) == (
        "Mira",
        "Come in, User!",
        "Mira bakes. She hums.",
    )
    assert "shop/oven" in json.dumps(loaded.original)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no character card"),
        (b"[]", "no character card"),
        (b"{}", 'no "name"'),
        (b'{"name": 3}', '"name" is no text'),
        (b'{"name": "Mira"}', "no example dialogue"),
        (b'{"name": "Mira", "mes_example": "just prose"}', "no lines"),
        (picture(), "without a character"),
        (picture(chunk(b"tEXt", b"chara\0%%%")), "not base64"),
        (picture(chunk(b"tEXt", b"chara\0" + PACKED))[:200], "damaged"),
        (png.SIGNATURE + struct.pack(">L4s", 2**31, b"tEXt"), "too large"),
        (picture(chunk(b"zTXt", b"chara\0\0" + zlib.compress(bytes(png.MAX_TEXT + 9)))), "unpacks to more"),
    ],
)
def test_a_broken_card_says_why(data: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read("card", tmp_path / "card", data)


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "."), data)
    return path


LINE = b"14.03.24, 10:00 - Ann: hi\n"


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", _chat__txt=LINE + bytes(64 << 20))
    with pytest.raises(DataError, match="zip bomb"):
        list(whatsapp.read(path, Reading()).messages)


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", _chat__txt=LINE * (1 << 20))
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<L", 1000)  # its size, as the directory tells it
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"zip bomb|damaged zip"):
        list(whatsapp.read(path, Reading()).messages)


def test_a_zip_with_too_many_members_is_refused_before_they_are_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", _chat__txt=LINE)
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<L", archive.MAX_DIRECTORY_BYTES + 1)
    path.write_bytes(data)
    with pytest.raises(DataError, match="more files than a chat's zip"):
        list(whatsapp.read(path, Reading()).messages)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, "holds no .txt"),
        ({"a__jpg": b""}, "holds no .txt"),
        ({"a__txt": LINE, "b__txt": LINE}, "holds 2 texts"),
    ],
)
def test_a_zip_without_the_one_text_says_so(members: dict[str, bytes], reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        list(whatsapp.read(zipped(tmp_path / "a.zip", **members), Reading()).messages)


def test_a_zip_within_a_zip_is_not_opened(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("_chat.txt", LINE)
    with pytest.raises(DataError, match=r"holds no \.txt"):
        list(whatsapp.read(zipped(tmp_path / "a.zip", inner__zip=inner.getvalue()), Reading()).messages)


def test_every_source_has_a_reader() -> None:
    assert READERS["plain"] is plain.read
    assert READERS["csv"] is table.read
