"""The JSON of DiscordChatExporter: one channel a file."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brain.errors import DataError
from brain.finetune.rules import Kind
from brain.finetune.sources.json_stream import Place, walk
from brain.finetune.sources.messages import Export, Message, Reading
from brain.finetune.sources.text_files import opener

HINT = "no Discord messages; export with DiscordChatExporter and the format JSON"
_SAID = ("Default", "Reply", "0", "19")  # all other types are notices and commands
_MEDIA = ("attachments", "embeds", "stickers", "poll")
_EMOJI = re.compile(r"<a?(:\w+:)\d+>")


def read(path: Path, reading: Reading) -> Export:
    """The messages of a channel."""
    return Export(_messages(path, reading), has_ids=True)


def _is_item(place: Place) -> bool:
    return len(place) == 2 and place[0] == "messages"


def _messages(path: Path, reading: Reading) -> Iterator[Message]:
    channel, has_list = "", False
    for place, value in walk(path, opener(path, reading.on_bytes), _is_item):
        if _is_item(place):
            yield _message(path, value, place, channel)
        elif place == ("channel", "id"):
            channel = str(value)
        elif place == ("messages",):
            has_list = True
    if not has_list:
        raise DataError(path, 0, HINT)


def _message(path: Path, value: Any, place: Place, channel: str) -> Message:
    author = value.get("author") if isinstance(value, dict) else None
    if not isinstance(author, dict):
        raise DataError(path, 0, f'message {place[-1]}: no "author"; {HINT}')
    where = f"message {value.get('id', place[-1])}"
    text = value.get("content") or ""
    if not isinstance(text, str):
        raise DataError(path, 0, f'{where}: "content" is no text')
    return Message(
        speaker=str(author.get("nickname") or author.get("name") or author.get("id") or "unknown"),
        text=_EMOJI.sub(r"\1", text),
        time=_time(path, value, where),
        kind=_kind(value, text),
        chat=channel,
        speaker_id=str(author.get("id") or ""),
        id=str(value.get("id") or ""),
    )


def _kind(value: dict[str, Any], text: str) -> Kind:
    if str(value.get("type", "Default")) not in _SAID:
        return "system"
    reference = value.get("reference")
    if value.get("forwardedMessage") or (isinstance(reference, dict) and reference.get("type") == "Forward"):
        return "forwarded"
    return "media" if not text.strip() and any(value.get(key) for key in _MEDIA) else "text"


def _time(path: Path, value: dict[str, Any], where: str) -> float:
    try:
        moment = datetime.fromisoformat(value["timestamp"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DataError(
            path, 0, f'{where}: no readable "timestamp", such as "2024-05-01T12:00:00+00:00"'
        ) from None
