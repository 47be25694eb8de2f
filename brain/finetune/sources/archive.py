"""The one text inside a zip, read without unpacking anything; bombs and odd archives are refused."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from brain.errors import DataError
from brain.finetune.sources.text_files import Opener

MAX_TEXT_BYTES = 1 << 30
MAX_RATIO = 200  # text shrinks 3 to 20 times; a bomb a thousand times
SMALL = 1 << 20  # below this the ratio does not matter
MAX_MEMBERS = 100_000
MAX_DIRECTORY_BYTES = 32 << 20
_END = b"PK\x05\x06"


def is_zip(path: Path) -> bool:
    """Whether the file begins as a zip does; false when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", _END)
    except OSError:
        return False


def text_opener(path: Path, on_bytes: Callable[[int], None] = lambda num: None) -> Opener:
    """A function that opens the chat's text inside a zip anew.

    Raises:
        DataError: the archive is damaged, encrypted or a bomb, or it is unclear which text is meant.
    """
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            member = _member(path, archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise DataError(path, 0, f"is a damaged zip: {error}; export the chat again") from error

    def open_member() -> BinaryIO:
        try:
            archive = zipfile.ZipFile(path)
            return cast(BinaryIO, io.BufferedReader(_Bounded(path, archive, member, on_bytes)))
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
            raise DataError(path, 0, f"is a damaged zip: {error}; export the chat again") from error

    return open_member


def _check_directory(path: Path) -> None:
    """Look at the directory's size before zipfile reads all of it into memory."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - (1 << 16) - 22))
            tail = file.read()
    except OSError as error:
        raise DataError(path, 0, f"cannot be read: {error.strerror or error}") from error
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise DataError(path, 0, "is a damaged zip: it has no end; export the chat again")
    num_members, directory_bytes = struct.unpack("<HL", tail[at + 10 : at + 16])
    if directory_bytes > MAX_DIRECTORY_BYTES or num_members > MAX_MEMBERS:
        raise DataError(path, 0, "lists more files than a chat's zip has; unpack it and name the .txt itself")


def _member(path: Path, members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    if len(members) > MAX_MEMBERS:
        raise DataError(path, 0, f"lists {len(members)} files; unpack it and name the .txt itself")
    texts = [one for one in members if one.filename.casefold().endswith(".txt") and not one.is_dir()]
    texts = [one for one in texts if "__MACOSX" not in one.filename]
    usual = [one for one in texts if PurePosixPath(one.filename).name == "_chat.txt"]
    usual = usual or [one for one in texts if "whatsapp" in one.filename.casefold()]
    found = usual if len(usual) == 1 else texts
    if len(found) != 1:
        what = "holds no .txt" if not found else f"holds {len(found)} texts and none is called _chat.txt"
        raise DataError(path, 0, f"{what}; unpack it and name the chat's .txt itself")
    [member] = found
    if member.flag_bits & 1:
        raise DataError(path, 0, "is encrypted; unpack it and name the .txt itself")
    ratio = member.file_size / max(1, member.compress_size)
    if member.file_size > MAX_TEXT_BYTES or (member.file_size > SMALL and ratio > MAX_RATIO):
        raise DataError(
            path, 0, f"would unpack to {member.file_size >> 20} MiB, as only a zip bomb does; refused"
        )
    return member


class _Bounded(io.RawIOBase):
    """What the directory says about a size may be a lie, so what really comes out is counted."""

    def __init__(
        self, path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, on_bytes: Callable[[int], None]
    ) -> None:
        self._path, self._archive, self._on_bytes = path, archive, on_bytes
        self._file = archive.open(member)
        self._left = min(MAX_TEXT_BYTES, max(SMALL, member.compress_size * MAX_RATIO)) + 1

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        try:
            data = self._file.read(len(view))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise DataError(self._path, 0, f"is a damaged zip: {error}; export the chat again") from error
        self._left -= len(data)
        if self._left <= 0:
            raise DataError(
                self._path, 0, "unpacks to far more than it says, as only a zip bomb does; refused"
            )
        self._on_bytes(len(data))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._archive.close()
        super().close()
