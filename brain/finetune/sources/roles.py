"""ShareGPT and ChatML: dialogues whose speakers are roles, as an array, one object per line, or raw text."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from brain.errors import DataError
from brain.finetune.rules import Kind
from brain.finetune.sources.json_stream import Place, walk
from brain.finetune.sources.messages import Export, Message, Reading
from brain.finetune.sources.text_files import chunks, lines, opener

MODEL_ROLES = ("assistant", "gpt", "model", "bot", "chatgpt", "bing", "bard")
_SILENT = ("system", "developer", "tool", "function", "observation", "function_call", "function_response")
_LISTS = ("conversations", "conversation", "messages", "items")
_TAG = re.compile(r"<\|im_start\|>[ \t]*([^\n<]*)\n(.*?)(?=<\|im_end\|>|<\|im_start\|>|\Z)", re.DOTALL)
_START = "<|im_start|>"
MAX_RAW = 64 << 20


def read(path: Path, reading: Reading) -> Export:
    """The dialogues of a JSON array, JSON lines or raw ChatML text; the model's role is who replies."""
    first = next((line for _, line in lines(path, opener(path)) if line.strip()), "").strip()
    if not first:
        raise DataError(path, 0, "the file is empty")
    if first.startswith(_START):
        return Export(_raw(path, reading), "assistant")
    return Export(_dialogues(path, reading, first), "assistant")


def _dialogues(path: Path, reading: Reading, first: str) -> Iterator[Message]:
    if first.startswith("{") and first.endswith("}"):
        rows = _from_lines(path, reading)
    else:
        rows = _from_array(path, reading)
    is_empty = True
    for where, row in rows:
        is_empty = False
        yield from _dialogue(path, where, row)
    if is_empty:
        raise DataError(path, 0, "holds no dialogues")


def _from_lines(path: Path, reading: Reading) -> Iterator[tuple[int, Any]]:
    import json

    for line_no, line in lines(path, opener(path, reading.on_bytes)):
        if line.strip():
            try:
                yield line_no, json.loads(line, strict=False)
            except (ValueError, RecursionError) as error:
                raise DataError(path, line_no, "is not JSON; each line must be one dialogue") from error


def _from_array(path: Path, reading: Reading) -> Iterator[tuple[int, Any]]:
    is_list = False

    def is_dialogue(place: Place) -> bool:
        return len(place) == 1 and (is_list or place[0] in _LISTS)

    for place, value in walk(path, opener(path, reading.on_bytes), is_dialogue):
        if not place:
            with opener(path)() as file:
                is_list = (
                    file.read(64).replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \r\n\t")[:1] == b"["
                )
            if value is not None:
                raise DataError(path, 0, "holds neither a list of dialogues nor one dialogue")
        elif is_dialogue(place):
            yield (int(place[0]) + 1, value) if is_list else (1, {place[0]: value})


def _dialogue(path: Path, number: int, row: Any) -> Iterator[Message]:
    keys = [key for key in _LISTS if isinstance(row, dict) and isinstance(row.get(key), list)]
    if not keys:
        raise DataError(path, 0, f'dialogue {number}: no list "conversations" or "messages" in it')
    for index, turn in enumerate(row[keys[0]], 1):
        where = f"dialogue {number} turn {index}"
        if not isinstance(turn, dict):
            raise DataError(path, 0, f"{where}: not an object with a role and a text")
        role = turn.get("from", turn.get("role"))
        if not isinstance(role, str):
            raise DataError(path, 0, f'{where}: no "from" or "role"')
        name = turn.get("name")
        text = _text(path, where, turn.get("value", turn.get("content")))
        yield _said(role, name if isinstance(name, str) else "", text, str(number))


def _text(path: Path, where: str, value: object) -> str:
    if value is None:  # a turn that only calls a tool
        return ""
    if isinstance(value, list):  # parts, of which pictures have no text
        value = "".join(str(part.get("text") or "") for part in value if isinstance(part, dict))
    if not isinstance(value, str):
        raise DataError(path, 0, f'{where}: no text in "value" or "content"')
    return value


def _said(role: str, name: str, text: str, chat: str) -> Message:
    role = role.strip()
    kind: Kind = "system" if role.casefold() in _SILENT else "text"
    return Message(name or role, text, kind=kind, chat=chat, speaker_id="" if name else role)


def _raw(path: Path, reading: Reading) -> Iterator[Message]:
    """Raw text has no dialogues apart: a system turn or an empty line between turns begins the next."""
    text = ""
    for chunk in chunks(path, opener(path, reading.on_bytes)):
        text += chunk
        if len(text) > MAX_RAW:
            raise DataError(path, 0, "is too large for raw ChatML text; write it as JSON lines")
    number, end = 1, 0
    for found in _TAG.finditer(text):
        between = text[end : found.start()].replace("<|im_end|>", "")
        role = found[1].strip()
        if end and ("\n\n" in between.replace("\r", "") or role.casefold() == "system"):
            number += 1
        if between.strip() or not role:
            line_no = text.count("\n", 0, end) + 1
            raise DataError(path, line_no, f"text outside of {_START}role … <|im_end|>")
        yield _said(role, "", found[2].strip(), str(number))
        end = found.end()
