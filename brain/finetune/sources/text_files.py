"""Text files of any origin: the encoding recognised, lines and sizes bounded, mistakes with their place."""

import codecs
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from brain.errors import DataError

MAX_LINE = 1 << 20  # characters; a longer line is no message
_MARKS = (  # UTF-32 first: its mark begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
Opener = Callable[[], BinaryIO]


def opener(path: Path, on_bytes: Callable[[int], None] = lambda num: None) -> Opener:
    """A function that opens the file anew; what is read is told to `on_bytes`."""

    def open_file() -> BinaryIO:
        try:
            return io.BufferedReader(_Counted(path, on_bytes), 1 << 18)
        except OSError as error:
            raise DataError(path, 0, f"cannot be read: {error.strerror or error}") from error

    return open_file


class _Counted(io.FileIO):
    def __init__(self, path: Path, on_bytes: Callable[[int], None]) -> None:
        super().__init__(str(path), "rb")
        self._on_bytes = on_bytes

    def readinto(self, buffer: object) -> int | None:
        num = super().readinto(buffer)  # type: ignore[arg-type]
        self._on_bytes(num or 0)
        return num


def encoding_of(start: bytes) -> str:
    """The encoding that the first bytes of a file speak for; UTF-8 when nothing else does."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    odd, even = start[1::2].count(0), start[0::2].count(0)
    if max(odd, even) > len(start) // 8:  # UTF-16 without its mark: every other byte of Latin text is 0
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8"


def chunks(path: Path, open_file: Opener, size: int = 1 << 20) -> Iterator[str]:
    """The text in pieces of about `size` bytes.

    Raises:
        DataError: the file cannot be read, or its bytes are no text, with the line.
    """
    line_no = 1
    with open_file() as file:
        try:
            start = file.read(4096)
            decoder = codecs.getincrementaldecoder(encoding_of(start))()
            while start:
                text = decoder.decode(start)
                yield text
                line_no += text.count("\n")
                start = file.read(size)
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line_no += error.object[: error.start].count(b"\n")
            raise DataError(
                path, line_no, "is not UTF-8 text; save the file as UTF-8 and try again"
            ) from error
        except OSError as error:
            raise DataError(path, 0, f"cannot be read: {error.strerror or error}") from error


def lines(path: Path, open_file: Opener) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, without their ends.

    Only a line feed, alone or after a carriage return, ends a line; other separators belong to messages.

    Raises:
        DataError: as `chunks`, or a line is longer than MAX_LINE.
    """
    rest, line_no = "", 0
    for chunk in chunks(path, open_file):
        *whole, rest = (rest + chunk).split("\n")
        for line in whole:
            line_no += 1
            yield line_no, _checked(path, line_no, line)
        _checked(path, line_no + 1, rest)
    if rest:
        yield line_no + 1, rest.removesuffix("\r")


def _checked(path: Path, line_no: int, line: str) -> str:
    if len(line) > MAX_LINE:
        raise DataError(path, line_no, f"is longer than {MAX_LINE} characters, which is no chat")
    return line.removesuffix("\r")
