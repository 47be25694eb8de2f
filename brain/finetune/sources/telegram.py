"""Telegram Desktop's result.json: one chat, or an account with its chats in chats.list."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brain.errors import DataError
from brain.finetune.rules import Kind
from brain.finetune.sources.json_stream import Place, walk
from brain.finetune.sources.messages import Export, Message, Reading
from brain.finetune.sources.text_files import opener

HINT = "no Telegram messages; in Telegram Desktop choose Export chat history and the format JSON"
_MEDIA = ("media_type", "photo", "file", "poll", "location_information", "contact_information", "game_title")


def read(path: Path, reading: Reading) -> Export:
    """The messages of a result.json, chat by chat."""
    return Export(_messages(path, reading), has_ids=True)


def _is_message(place: Place) -> bool:
    return len(place) > 1 and place[-2] == "messages"


def _messages(path: Path, reading: Reading) -> Iterator[Message]:
    has_list = False
    ids: dict[Place, str] = {}
    for place, value in walk(path, opener(path, reading.on_bytes), _is_message):
        if _is_message(place):
            chat = place[:-2]
            yield _message(path, value, place, ids.get(chat) or "/".join(map(str, chat)))
        elif place and place[-1] == "id" and isinstance(value, int | str):
            ids = {place[:-1]: str(value)}  # a chat names itself before its messages
        elif place and place[-1] == "messages":
            has_list = True
    if not has_list:
        raise DataError(path, 0, HINT)


def _message(path: Path, value: Any, place: Place, chat: str) -> Message:
    if not isinstance(value, dict):
        raise DataError(path, 0, f"message {place[-1]} of chat {chat or 1}: not an object; {HINT}")
    where = f"message {value.get('id', place[-1])}"
    text = _text(path, value.get("text", ""), where)
    speaker_id = str(value.get("from_id") or value.get("actor_id") or "")
    return Message(
        speaker=str(value.get("from") or value.get("actor") or speaker_id or "Deleted Account"),
        text=text,
        time=_time(path, value, where),
        kind=_kind(value, text),
        chat=chat,
        speaker_id=speaker_id,
        id=str(value.get("id", "")),
    )


def _kind(value: dict[str, Any], text: str) -> Kind:
    if value.get("type", "message") != "message":
        return "system"
    if "forwarded_from" in value or "forwarded_from_id" in value:
        return "forwarded"
    return "media" if not text.strip() and any(key in value for key in _MEDIA) else "text"


def _text(path: Path, value: object, where: str) -> str:
    """A text is a string, or a list of strings and of objects with a text, such as links."""
    parts = value if isinstance(value, list) else [value]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    for text in texts:
        if not isinstance(text, str):
            raise DataError(path, 0, f'{where}: "text" is neither a text nor a list of texts')
    return "".join(map(str, texts))


def _time(path: Path, value: dict[str, Any], where: str) -> float:
    try:
        if "date_unixtime" in value:
            seconds = float(value["date_unixtime"])
        else:
            moment = datetime.fromisoformat(value["date"])
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if abs(seconds) < 1e11:
            return seconds
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    raise DataError(path, 0, f'{where}: no readable "date", such as "2024-05-01T12:00:00"')
