"""A JSON file of any size: containers are walked, the values inside are decoded one at a time.

Python's own decoder works on each piece, because it is tolerant where exports need it: control characters in
strings, lone surrogates, and NaN. In memory are one piece and one chunk, whatever the file's size.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from brain.errors import DataError
from brain.finetune.sources.text_files import Opener, chunks

MAX_VALUE = 4 << 20  # characters of one message or other value
MAX_DEPTH = 16  # of the containers around them
Place = tuple[str | int, ...]
_SPACE = re.compile(r"[ \t\n\r\ufeff]*")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|.)", re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)
_TAIL = 16  # a mistake so close to the end of what was read may be a value that goes on


def walk(path: Path, open_file: Opener, is_item: Callable[[Place], bool]) -> Iterator[tuple[Place, Any]]:
    """Yield every value with its place, such as ("chats", "list", 0, "name").

    Args:
        is_item: whether the container at this place is decoded as a whole; others are walked through, and an
            opening one yields its place with None first.
    Raises:
        DataError: the file is not JSON, with the line; a value is too large, or containers nest too deeply.
    """
    walker = _Walker(path, _with_hex_escapes(chunks(path, open_file)))
    yield from walker.value((), is_item)
    if walker.peek():
        raise walker.mistake("there is more text after the end of the JSON")


def _with_hex_escapes(parts: Iterator[str]) -> Iterator[str]:
    r"""Turn \xNN, which some exports contain and JSON does not know, into \u00NN."""

    def valid(found: re.Match[str]) -> str:
        return f"\\u00{found[1]}" if found[1] else found[0]

    rest = ""
    for part in parts:
        part, rest = rest + part, ""
        cut = part.rfind("\\", -4)
        if cut >= 0:  # an escape may go on in the next chunk
            cut -= len(part[:cut]) - len(part[:cut].rstrip("\\"))
            part, rest = part[:cut], part[cut:]
            if len(rest) > MAX_VALUE:
                part, rest = rest, ""
        yield _ESCAPE.sub(valid, part) if "\\x" in part else part
    yield _ESCAPE.sub(valid, rest)


class _Walker:
    def __init__(self, path: Path, parts: Iterator[str]) -> None:
        self._path, self._parts = path, parts
        self._text, self._at, self._line_no, self._is_over = "", 0, 1, False

    def value(self, place: Place, is_item: Callable[[Place], bool]) -> Iterator[tuple[Place, Any]]:
        sign = self.peek()
        if sign not in ("{", "[") or is_item(place):
            yield place, self._decode()
            return
        if len(place) >= MAX_DEPTH:
            raise self.mistake(f"containers nest more than {MAX_DEPTH} deep, which no export does")
        yield place, None
        self._at += 1
        closing, index = ("}" if sign == "{" else "]"), 0
        while self.peek() != closing:
            if index:
                self._expect(",")
            key: str | int = index
            if sign == "{":
                if self.peek() != '"':
                    raise self.mistake("a name in quotes should stand here")
                key = str(self._decode())
                self._expect(":")
            yield from self.value((*place, key), is_item)
            index += 1
        self._at += 1

    def peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def mistake(self, reason: str) -> DataError:
        line_no = self._line_no + self._text.count("\n", 0, self._at)
        return DataError(self._path, line_no, f"is not the JSON of an export: {reason}")

    def _expect(self, sign: str) -> None:
        if self.peek() != sign:
            is_end = self._at >= len(self._text)
            raise self.mistake(
                "the file ends too early; export it again" if is_end else f"'{sign}' is missing"
            )
        self._at += 1

    def _decode(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end - self._at > MAX_VALUE:
                    raise self.mistake(f"one value is longer than {MAX_VALUE} characters")
                ahead = _TAIL if isinstance(value, int | float) else 0  # 1e might still become 1e+16
                if end + ahead < len(self._text) or self._is_over:
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                tail = 0 if self._is_over else _TAIL
                is_cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - tail
                if self._is_over and is_cut:
                    raise self.mistake("the file ends too early; export it again") from error
                if not is_cut:
                    self._at = max(self._at, error.pos)
                    raise self.mistake(error.msg[:1].lower() + error.msg[1:]) from error
            except (RecursionError, ValueError) as error:
                raise self.mistake("a value nests too deeply or is too large") from error
            if len(self._text) - self._at > MAX_VALUE:
                raise self.mistake(f"one value is longer than {MAX_VALUE} characters")
            self._more()

    def _more(self) -> bool:
        """Append at least as much as is left undecoded, so that a long value is not tried too often."""
        wanted = max(1, len(self._text) - self._at)
        new = []
        while wanted > 0 and not self._is_over:
            part = next(self._parts, None)
            self._is_over = part is None
            new.append(part or "")
            wanted -= len(part or "")
        self._line_no += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + "".join(new), 0
        return bool(self._text)
