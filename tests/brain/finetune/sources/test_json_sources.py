"""Telegram, Discord, ShareGPT and ChatML."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain.errors import DataError
from brain.finetune.sources import discord, json_stream, roles, telegram
from brain.finetune.sources.messages import Message, Reading
from brain.finetune.sources.text_files import opener


def saved(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def telegram_chat(*messages: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"name": "Tea", "type": "personal_chat", "id": 7, **more, "messages": list(messages)}


def telegram_message(number: int, **more: object) -> dict[str, Any]:
    said = {"id": number, "type": "message", "date": "2024-05-01T12:00:00", "from": "Ann", "from_id": "user1"}
    return {**said, "text": f"line {number}", **more}


def from_telegram(path: Path, value: object) -> list[Message]:
    return list(telegram.read(saved(path / "result.json", value), Reading()).messages)


def test_telegram_texts_may_be_lists_with_links(tmp_path: Path) -> None:
    parts = ["see ", {"type": "link", "text": "example.org"}, "!"]
    [message] = from_telegram(tmp_path, telegram_chat(telegram_message(1, text=parts)))
    assert message == Message(
        "Ann", "see example.org!", datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp(), "text", "7", "user1", "1"
    )


def test_telegram_notices_media_and_forwards_are_told_apart(tmp_path: Path) -> None:
    messages = from_telegram(
        tmp_path,
        telegram_chat(
            telegram_message(1, type="service", action="pin_message", text=""),
            telegram_message(2, text="", media_type="sticker"),
            telegram_message(3, forwarded_from="Eve"),
            telegram_message(4, text="a caption", photo="x.jpg"),
            telegram_message(5, **{"from": None}),
        ),
    )
    assert [one.kind for one in messages] == ["system", "media", "forwarded", "text", "text"]
    assert messages[4].speaker == "user1"


def test_a_whole_telegram_account_has_its_chats_apart(tmp_path: Path) -> None:
    account = {
        "about": "x",
        "contacts": {"list": [{"first_name": "B"}]},
        "chats": {
            "list": [telegram_chat(telegram_message(1), id=7), telegram_chat(telegram_message(1), id=8)]
        },
        "left_chats": {"list": [telegram_chat(telegram_message(2), id=9)]},
    }
    assert [one.chat for one in from_telegram(tmp_path, account)] == ["7", "8", "9"]


def test_escapes_that_json_does_not_know_are_read(tmp_path: Path) -> None:
    text = json.dumps(telegram_chat(telegram_message(1, text="@"))).replace("@", r"a\x07b\\x41c" + "\t")
    [message] = from_telegram(tmp_path, text)
    assert message.text == "a\x07b\\x41c\t"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ends too early"),
        ("{}", "no Telegram messages"),
        ("[1, 2", "ends too early"),
        ('{"messages": [{"id": 5, "text": 1, "date": "x"}]}', "message 5"),
        ('{"messages": [{"id": 5, "text": "a", "date": "yesterday"}]}', 'message 5: no readable "date"'),
        ('{"messages": [\n{"id": 5,\n oops}]}', "line 3"),
        ('{"messages": [3]}', "message 0"),
        ("[" * 100_000, "deep"),
        ('{"messages": [' + "[" * 100_000, "deep"),
        ('{"messages": []} x', "more text after the end"),
        ('{"messages": ["' + "x" * (json_stream.MAX_VALUE + 10) + '"]}', "longer than"),
    ],
)
def test_a_broken_telegram_export_says_where(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        from_telegram(tmp_path, text)


def test_discord_replies_count_and_joins_do_not(tmp_path: Path) -> None:
    def message(number: int, **more: object) -> dict[str, Any]:
        author = {"id": "42", "name": "ann", "nickname": "Ann ☕", "isBot": False}
        said = {
            "id": str(number),
            "type": "Default",
            "timestamp": "2024-05-01T12:00:00.5+02:00",
            "author": author,
        }
        return {**said, "content": f"line {number} <:tea:123>", "attachments": [], **more}

    value = {
        "guild": {"id": "1"},
        "channel": {"id": "9", "name": "tea"},
        "messages": [
            message(1),
            message(2, type="Reply", reference={"messageId": "1"}),
            message(3, type="GuildMemberJoin"),
            message(4, content="", attachments=[{"url": "x"}]),
            message(5, content="", reference={"type": "Forward"}),
        ],
    }
    messages = list(discord.read(saved(tmp_path / "c.json", value), Reading()).messages)
    assert [one.kind for one in messages] == ["text", "text", "system", "media", "forwarded"]
    assert messages[0] == Message(
        "Ann ☕",
        "line 1 :tea:",
        datetime(2024, 5, 1, 10, 0, 0, 500000, UTC).timestamp(),
        "text",
        "9",
        "42",
        "1",
    )


SHAREGPT = [
    {"id": "a", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}
] * 2
SAID = [("system", "s"), ("user", "hi"), ("assistant", [{"type": "text", "text": "hello"}])]
CHATML = [{"messages": [{"role": role, "content": content} for role, content in SAID]}] * 2
RAW = (
    "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n"
) * 2


@pytest.mark.parametrize(
    "text",
    [json.dumps(SHAREGPT), json.dumps(SHAREGPT, indent=2), "\n".join(map(json.dumps, SHAREGPT)), 
     json.dumps(CHATML), "\n".join(map(json.dumps, CHATML)), RAW],
)  # fmt: skip
def test_dialogues_with_roles_are_read_in_any_of_their_forms(text: str, tmp_path: Path) -> None:
    messages = roles.read(saved(tmp_path / "d", text), Reading()).messages
    said = [(one.chat, one.text) for one in messages if one.kind == "text"]
    assert said == [("1", "hi"), ("1", "hello"), ("2", "hi"), ("2", "hello")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"conversations": 3}\n', "dialogue 1"), ('[{"x": 1}]', "dialogue 1"), ("{}\n{", "dialogue 1"), 
     ("3", "neither"),
     ('{"messages": [{"role": "user", "content": 5}]}', "turn 1"), ('{"messages": []}\n{bad\n', "line 2"),
     ("<|im_start|>user\nhi<|im_end|>\nstray", "ignored"), ("", "empty")],
)  # fmt: skip
def test_a_broken_dialogue_says_where(text: str, reason: str, tmp_path: Path) -> None:
    if reason == "ignored":  # what follows the last turn is no dialogue
        reason = "outside"
        text = text.replace("stray", "stray <|im_start|>user\nx<|im_end|>")
    with pytest.raises(DataError, match=reason):
        list(roles.read(saved(tmp_path / "d", text), Reading()).messages)


@given(
    said=st.lists(
        st.tuples(st.integers(1, 2**36), st.text(max_size=20), st.lists(st.text(max_size=30), max_size=3)),
        max_size=20,
    ),
    is_ascii=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
@settings(max_examples=60, deadline=None)
def test_what_was_said_on_telegram_comes_back(
    said: list[tuple[int, str, list[str]]],
    is_ascii: bool,
    indent: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    messages = [
        telegram_message(
            at, date_unixtime=str(time), **{"from": name}, text=[{"text": part} for part in parts]
        )
        for at, (time, name, parts) in enumerate(said)
    ]
    text = json.dumps(telegram_chat(*messages), ensure_ascii=is_ascii, indent=indent)
    back = from_telegram(tmp_path_factory.mktemp("t"), text)
    assert [(one.time, one.speaker, one.text) for one in back] == [
        (time, name or "user1", "".join(parts)) for time, name, parts in said
    ]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=30,
)


@given(value=JSON, size=st.integers(1, 9), indent=st.sampled_from([None, 0, 3]))
@settings(max_examples=300, deadline=None)
def test_any_json_is_read_in_any_pieces(value: object, size: int, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    walker = json_stream._Walker(Path("x"), json_stream._with_hex_escapes(pieces))
    [(_, read)] = walker.value((), lambda place: True)
    assert read == value
    assert walker.peek() == ""


@pytest.mark.parametrize("number", ["1e+16", "0.5", "-12.25E-3", "1234567"])
def test_a_number_cut_between_two_chunks_is_whole(number: str) -> None:
    walker = json_stream._Walker(Path("x"), json_stream._with_hex_escapes(iter([*number, "  "])))
    assert next(walker.value((), lambda place: True)) == ((), json.loads(number))


def test_values_are_told_with_their_places(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.json", {"a": [1, {"b": [2]}], "c": "d"})
    found = list(json_stream.walk(path, opener(path), lambda place: place == ("a", 1)))
    assert [one for one in found if one[1] is not None] == [
        (("a", 0), 1),
        (("a", 1), {"b": [2]}),
        (("c",), "d"),
    ]
