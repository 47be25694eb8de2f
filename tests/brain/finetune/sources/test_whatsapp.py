"""WhatsApp exports of many phones."""

# ruff: noqa: RUF001  # exports are written as phones write them

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain.errors import DataError
from brain.finetune.sources import whatsapp
from brain.finetune.sources.messages import Message, Reading

NEW_YEAR = datetime(2023, 12, 31, 21, 5, tzinfo=UTC)
STAMPS = {  # the same minute as phones in different places write it
    "american": "12/31/23, 9:05\u202fPM - ",
    "american iphone": "[12/31/23, 9:05:00\u202fPM] ",
    "british": "31/12/2023, 21:05 - ",
    "german": "31.12.23, 21:05 - ",
    "german iphone": "[31.12.23, 21:05:00] ",
    "spanish": "31/12/23, 9:05\u202fp.\u00a0m. - ",
    "colombian": "31/12/23, 9:05 p. m. - ",
    "brazilian": "31/12/2023 21:05 - ",
    "french": "31/12/2023 à 21:05 - ",
    "canadian french": "2023-12-31 21 h 05 - ",
    "dutch": "31-12-2023 21:05 - ",
    "swedish": "2023-12-31 21:05 - ",
    "finnish": "31.12.2023 klo 21.05 - ",
    "danish": "31.12.2023 21.05 - ",
    "bulgarian": "31.12.23 г., 21:05 ч. - ",
    "hungarian": "2023. 12. 31. 21:05 - ",
    "croatian": "31. 12. 2023. 21:05 - ",
    "turkish": "31.12.2023 21:05 - ",
    "greek": "31/12/23, 9:05 μ.μ. - ",
    "vietnamese": "21:05, 31/12/2023 - ",
    "thai": "31/12/2566 21:05 - ",
    "hindi": "31/12/23, 9:05 pm - ",
    "arabic": "\u200f31\u200f/12\u200f/2023، 9:05\u202fم - ",
    "arabic digits": "٣١/١٢/٢٠٢٣، ٩:٠٥ م - ",
    "persian": "۱۴۰۲/۱۰/۱۰،\u200f ۲۱:۰۵ - ",
    "hebrew": "31.12.2023, 21:05 - ",
    "hebrew iphone": "\u200f[31.12.2023, 21:05:00] ",
    "chinese": "2023/12/31 下午9:05 - ",
    "chinese iphone": "[2023/12/31 21:05:00] ",
    "taiwanese": "[2023/12/31 晚上9:05:00] ",
    "japanese": "2023/12/31 21:05 - ",
    "japanese words": "2023年12月31日 21:05 - ",
    "korean": "2023. 12. 31. 오후 9:05 - ",
    "korean words": "2023년 12월 31일 오후 9:05, ",
    "early iphone": "31.12.23 21:05:00: ",
}


def read(path: Path, text: str, order: str = "auto") -> list[Message]:
    path.write_text(text, encoding="utf-8", newline="")
    return list(whatsapp.read(path, Reading(order)).messages)


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
def test_a_stamp_of_any_place_is_read(stamp: str, tmp_path: Path) -> None:
    messages = read(tmp_path / "_chat.txt", f"{stamp}Zoé: see you\nat nine\n{stamp}Ben: 12:30, ok?\n")

    assert [(one.speaker, one.text) for one in messages] == [
        ("Zoé", "see you\nat nine"),
        ("Ben", "12:30, ok?"),
    ]
    assert [one.time for one in messages] == [NEW_YEAR.timestamp()] * 2


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["3/4/24", "3/5/24", "3/6/24"], "mdy"),
        (["03/04/2024", "04/04/2024", "05/04/2024"], "dmy"),
        (["24/03/04", "24/03/05", "24/03/06"], "ymd"),
        (["1/2/24", "1/13/24"], "mdy"),
        (["1/2/24", "13/2/24"], "dmy"),
        (["05/05/2024"], "dmy"),
    ],
)
def test_the_order_of_day_and_month_is_deduced_from_all_dates(
    dates: list[str], order: str, tmp_path: Path
) -> None:
    text = "".join(f"{date}, 10:00 - Ann: hi {at}\n" for at, date in enumerate(dates))
    assert read(tmp_path / "a.txt", text) == read(tmp_path / "a.txt", text, order)


def test_unknown_words_for_the_halves_of_a_day_are_told_by_what_comes_first(tmp_path: Path) -> None:
    text = "".join(
        f"{day}/3/24, 9:0{n} {word} - Ann: x\n" for day in (14, 15) for n, word in enumerate(("kx", "zq"))
    )
    hours = [datetime.fromtimestamp(one.time or 0, UTC).hour for one in read(tmp_path / "a.txt", text)]
    assert hours == [9, 21, 9, 21]


def test_midnight_and_noon(tmp_path: Path) -> None:
    text = "3/14/24, 12:10 AM - Ann: x\n3/14/24, 12:10 PM - Ann: y\n"
    assert [datetime.fromtimestamp(one.time or 0, UTC).hour for one in read(tmp_path / "a.txt", text)] == [
        0,
        12,
    ]


def test_notices_media_and_deleted_messages_are_told_apart(tmp_path: Path) -> None:
    said = {
        "Messages and calls are end-to-end encrypted.": "system",
        'Ann created group "Trip: Rome"': "system",
        "Ann changed the subject from “a: b” to “c: d”": "system",
        "Ann: hello": "text",
        "Ben: hi": "text",
        "Ann: <Media omitted>": "media",
        "Ann: <Medios que nadie conoce>": "media",
        "Ben: IMG-20240314-WA0001.jpg (file attached)": "media",
        "Ben: This message was deleted": "deleted",
        "Ann: <3": "text",
        "Ann: if a < b and c > d": "text",
    }
    messages = read(tmp_path / "a.txt", "".join(f"14/03/2024, 10:00 - {line}\n" for line in said))
    assert [one.kind for one in messages] == list(said.values())


@pytest.mark.parametrize(
    "phrase",
    ["Medien ausgeschlossen", "Multimedia omitido", "Mídia oculta", "Médias omis", "Media omessi",
     "Media weggelaten",
     "Без медиафайлов", "Medya dahil edilmedi", "תקציר המדיה הוסר", "تم استبعاد الوسائط", "省略多媒体文件"],
)  # fmt: skip
def test_placeholders_of_media_are_dropped_in_any_language(phrase: str, tmp_path: Path) -> None:
    [message] = read(tmp_path / "a.txt", f"14.03.24, 10:00 - Ann: <{phrase}>\n")
    assert message.kind == "media"


def test_what_an_iphone_marks_as_its_own_is_no_message(tmp_path: Path) -> None:
    stamp = "[14.03.24, 10:00:01] "
    messages = read(
        tmp_path / "_chat.txt",
        f"{stamp}Trip: \u200eNachrichten und Anrufe sind verschlüsselt.\n"
        f"\u200e{stamp}Ann: \u200eBild weggelassen\n"
        f"{stamp}Ann: \u200e<Anhang: 0001-PHOTO.jpg>\n{stamp}\u200e~\u202fBen: hi\n{stamp}~\u202fBen: da\n"
        f"{stamp}\u202a+49 170 1234567\u202c: ok \u200e<Diese Nachricht wurde bearbeitet.>\n",
    )
    assert [one.kind for one in messages] == ["system", "media", "media", "text", "text", "text"]
    assert [(one.speaker, one.text) for one in messages[3:]] == [
        ("Ben", "hi"), ("Ben", "da"), ("+49 170 1234567", "ok")
    ]  # fmt: skip


def test_a_colon_may_stand_in_a_name(tmp_path: Path) -> None:
    text = "".join(
        f"14.03.24, 10:0{at} - Dr: Who: line {at}\n14.03.24, 10:0{at} - Ann: x{at}: y\n" for at in range(3)
    )
    assert {one.speaker for one in read(tmp_path / "a.txt", text)} == {"Dr: Who", "Ann"}


def test_a_chat_pasted_into_a_message_stays_one_message(tmp_path: Path) -> None:
    text = (
        "14.03.24, 10:00 - Ann: look\n[12/31/23, 9:05:00 PM] Eve: secret\n14.03.24, 10:01 - Ben: oh\n"
        "14.03.24, 10:02 - Ann: yes\n"
    )
    messages = read(tmp_path / "a.txt", text)
    assert [one.speaker for one in messages] == ["Ann", "Ben", "Ann"]
    assert messages[0].text.endswith("Eve: secret")


def test_no_space_after_the_colon(tmp_path: Path) -> None:
    messages = read(tmp_path / "a.txt", "[2026/7/9 02:28:09] 小明:你好 a:b\n[2026/7/13 02:29:09] 小红:好\n")
    assert [(one.speaker, one.text) for one in messages] == [("小明", "你好 a:b"), ("小红", "好")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_are_recognised(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("14.03.24, 10:00 - Zoë: grüß dich\r\n".encode(encoding))
    [message] = whatsapp.read(tmp_path / "a.txt", Reading()).messages
    assert (message.speaker, message.text) == ("Zoë", "grüß dich")


def test_a_zip_is_read_without_unpacking(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "chat.zip", "w") as archive:
        archive.writestr("../../evil.jpg", b"x")
        archive.writestr("WhatsApp Chat with Ann.txt", "14.03.24, 10:00 - Ann: hi\n")
        archive.writestr("notes.txt", "something a friend sent")
    [message] = whatsapp.read(tmp_path / "chat.zip", Reading()).messages
    assert message.text == "hi"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["chat.zip"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "no WhatsApp messages"), ("hello\n", "no WhatsApp messages"),
     ("junk\n14.03.24, 10:00 - A: b\n", "line 1"),
     ("14.03.24, 10:00 - A: b\n41.13.24, 10:00 - A: b\n", "line 2")],
)  # fmt: skip
def test_a_file_that_is_no_export_says_where(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read(tmp_path / "a.txt", text)


WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
NAME = WORD.map(lambda word: "N" + word.replace(":", "").replace("\uff1a", "").replace('"', "")).filter(
    lambda name: not set(name) & set("“”„«»「」『』")
)
# "say x: y" from all lines of one person is no way to tell from the name "N: say x".
TEXT = st.lists(WORD.filter(lambda word: word[-1] not in ":\uff1a"), min_size=1, max_size=4).map(
    lambda words: "say " + " ".join(words)
)
FORMS = {
    "android": lambda at: f"{at:%d/%m/%Y, %H:%M} - ",
    "iphone": lambda at: f"[{at:%d.%m.%y, %H:%M:%S}] ",
    "american": lambda at: f"{at.month}/{at.day}/{at:%y}, {at.hour % 12 or 12}:{at:%M}\u202f{at:%p} - ",
    "japanese": lambda at: f"{at:%Y/%m/%d %H:%M} - ",
    "chinese": lambda at: (
        f"{at:%Y/%m/%d} {'下午' if at.hour > 11 else '上午'}{at.hour % 12 or 12}:{at:%M} - "
    ),
}


@pytest.mark.parametrize("form", FORMS)
@given(said=st.lists(st.tuples(st.integers(0, 4000), NAME, TEXT, TEXT), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_what_was_said_comes_back(
    form: str, said: list[tuple[int, str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    at, lines, expected = datetime(2024, 1, 13, 5, 0, tzinfo=UTC), [], []
    for minutes, name, text, more in [(0, "Nora", "first", "x"), *said]:
        at += timedelta(minutes=minutes)
        lines.append(f"{FORMS[form](at)}{name}: {text}\n{more}\n")
        expected.append((at.timestamp(), name, f"{text}\n{more}"))
    messages = read(tmp_path_factory.mktemp("chat") / "a.txt", "".join(lines))
    assert [(one.time, one.speaker, one.text) for one in messages] == expected
