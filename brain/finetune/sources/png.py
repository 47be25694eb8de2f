"""The text chunks of a PNG, without reading the picture."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from brain.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 16 << 20  # bytes of one text, unpacked
MAX_CHUNKS = 10_000


def texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield keyword and text of each tEXt, zTXt and iTXt chunk.

    Raises:
        DataError: the file is no PNG, is damaged, or a text is too large.
    """
    try:
        with path.open("rb") as file:
            if file.read(8) != SIGNATURE:
                raise DataError(path, 0, "is no PNG")
            for _ in range(MAX_CHUNKS):
                head = file.read(8)
                if len(head) < 8 or head[4:] == b"IEND":
                    return
                size, kind = struct.unpack(">L4s", head)
                if kind not in (b"tEXt", b"zTXt", b"iTXt"):
                    file.seek(size + 4, 1)
                    continue
                if size > MAX_TEXT:
                    raise DataError(
                        path, 0, f"a text of {size >> 20} MiB in the picture is too large for a card"
                    )
                data = file.read(size)
                if len(data) < size or struct.unpack(">L", file.read(4).ljust(4))[0] != zlib.crc32(
                    kind + data
                ):
                    raise DataError(path, 0, "the picture is damaged; download it again")
                yield _text(path, kind, data)
    except OSError as error:
        raise DataError(path, 0, f"cannot be read: {error.strerror or error}") from error
    raise DataError(path, 0, f"has more than {MAX_CHUNKS} parts, which no picture has")


def _text(path: Path, kind: bytes, data: bytes) -> tuple[str, bytes]:
    keyword, _, rest = data.partition(b"\0")
    if kind == b"zTXt":
        rest = _unpacked(path, rest[1:])
    elif kind == b"iTXt":
        is_packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        rest = _unpacked(path, rest) if is_packed else rest
    return keyword.decode("latin-1"), rest


def _unpacked(path: Path, data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, MAX_TEXT)
    except zlib.error as error:
        raise DataError(path, 0, f"the picture is damaged: {error}") from error
    if unpacker.unconsumed_tail:
        raise DataError(path, 0, "a text in the picture unpacks to more than a card holds; refused")
    return text
