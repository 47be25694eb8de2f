"""Character Card V1 to V3, as JSON or inside a PNG: who somebody is, with example dialogue."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain.encoding import clean_turn
from brain.errors import DataError
from brain.finetune.sources import png
from brain.finetune.sources.messages import Export, Message, Reading
from brain.finetune.sources.text_files import chunks, opener

USER = "User"
MAX_JSON = 16 << 20
_START = re.compile(r"<start>", re.IGNORECASE)
_USER = re.compile(r"\{\{user\}\}|<user>", re.IGNORECASE)
_CHAR = re.compile(r"\{\{char\}\}|<bot>", re.IGNORECASE)
_COMMENT = re.compile(r"\{\{//[^}]*\}\}")


@dataclass(frozen=True, slots=True)
class Card:
    """What we use of a card; `original` is all of it, unknown extensions included."""

    name: str
    description: str
    greeting: str
    examples: str
    original: dict[str, Any]


def read(path: Path, reading: Reading) -> Export:
    """The example dialogue of a card; the character of the card is who replies."""
    card = load_card(path)
    reading.on_bytes(path.stat().st_size)
    if not card.examples.strip():
        raise DataError(
            path, 0, f"the card of {card.name} has no example dialogue (mes_example) to learn from"
        )
    return Export(_messages(path, card), card.name)


def load_card(path: Path) -> Card:
    """Read a card.

    Raises:
        DataError: the file is no card, damaged, or without a name.
    """
    value = _from_png(path) if _is_png(path) else _from_json(path)
    data = value.get("data") if isinstance(value.get("data"), dict) else value
    assert isinstance(data, dict)
    fields = {key: data.get(key) or "" for key in ("name", "description", "first_mes", "mes_example")}
    for key, text in fields.items():
        if not isinstance(text, str):
            raise DataError(path, 0, f'the card\'s "{key}" is no text')
    name = clean_turn(fields["name"])
    if not name:
        raise DataError(path, 0, 'is no character card: it has no "name"')
    shown = {key: _named(text, name) for key, text in fields.items()}
    return Card(
        name, clean_turn(shown["description"]), clean_turn(shown["first_mes"]), shown["mes_example"], value
    )


def _is_png(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == png.SIGNATURE
    except OSError as error:
        raise DataError(path, 0, f"cannot be read: {error.strerror or error}") from error


def _from_png(path: Path) -> dict[str, Any]:
    found = dict(png.texts(path))
    packed = found.get("ccv3") or found.get("chara")
    if not packed:
        raise DataError(
            path, 0, "is a picture without a character: it has no text chara; is it the original file?"
        )
    try:
        text = base64.b64decode(packed.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise DataError(path, 0, "the character in the picture is damaged: it is not base64") from error
    return _object(path, text)


def _from_json(path: Path) -> dict[str, Any]:
    text = ""
    for chunk in chunks(path, opener(path)):
        text += chunk
        if len(text) > MAX_JSON:
            raise DataError(path, 0, "is too large for a character card")
    return _object(path, text)


def _object(path: Path, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        place = getattr(error, "lineno", 0)
        raise DataError(path, place, "is no character card: it is not JSON") from error
    if not isinstance(value, dict):
        raise DataError(path, 0, "is no character card: it is not an object")
    return value


def _named(text: str, name: str) -> str:
    return _COMMENT.sub("", _CHAR.sub(lambda _: name, _USER.sub(USER, text)))


def _messages(path: Path, card: Card) -> Iterator[Message]:
    line = re.compile(rf"\s*({re.escape(card.name)}|{USER})\s*:\s*(.*)", re.DOTALL)
    has_any = False
    for number, example in enumerate(_START.split(card.examples), 1):
        said: Message | None = None
        for text in example.splitlines():
            if found := line.match(text):
                if said:
                    yield said
                said = Message(found[1], found[2], chat=str(number))
                has_any = True
            elif said:
                said = Message(said.speaker, f"{said.text}\n{text}", chat=said.chat)
        if said:
            yield said
    if not has_any:
        raise DataError(path, 0, "the card's mes_example has no lines {{user}}: … and {{char}}: …")
