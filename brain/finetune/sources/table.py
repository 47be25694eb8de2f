"""CSV: a script with a column of names and one of lines, or responses with the lines before them."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from brain.errors import DataError
from brain.finetune.sources.messages import Export, Message, Reading
from brain.finetune.sources.text_files import lines, opener

_SPEAKERS = ("name", "speaker", "author", "character", "from", "user", "username", "sender", "role", "who")
_TEXTS = ("line", "text", "message", "content", "utterance", "dialogue", "body", "value", "said")
_SESSIONS = ("session", "session_id", "conversation", "conversation_id", "dialogue_id", "dialog_id", "chat")
_EPISODES = ("episode name", "episode no.", "episode", "season no.", "season", "scene")
_CONTEXT = re.compile(r"context(?:[/_ .-]?(\d+))?", re.IGNORECASE)
Row = tuple[int, list[str]]


def read(path: Path, reading: Reading) -> Export:
    """The rows of a table; columns are found by name unless `reading.columns` tells them."""
    rows = _rows(path, reading)
    _, header = next(rows, (0, []))
    names = [name.strip().casefold() for name in header]
    if not any(names):
        raise DataError(path, 0, "the file is empty")
    contexts = sorted((int(found[1] or -1), at) for at, name in enumerate(names) if (found := _context(name)))
    if "response" in names and contexts and not reading.columns:
        columns = {at: names[at] for at in (*(at for _, at in reversed(contexts)), names.index("response"))}
        return Export(_responses(path, rows, columns), "response", names_people=False)
    speaker = _column(path, names, "speaker", reading, _SPEAKERS)
    text = _column(path, names, "text", reading, _TEXTS)
    wanted = reading.columns.get("session")
    keys = [wanted] if wanted else [name for name in names if name in _SESSIONS] or list(_EPISODES)
    sessions = [names.index(key.casefold()) for key in keys if key.casefold() in names]
    if wanted and not sessions:
        raise DataError(path, 1, f"no column '{wanted}'; the columns are: {', '.join(header)}")
    return Export(_script(path, rows, (speaker, text), sessions))


def _context(name: str) -> re.Match[str] | None:
    return _CONTEXT.fullmatch(name)


def _column(path: Path, names: list[str], what: str, reading: Reading, usual: tuple[str, ...]) -> int:
    wanted = reading.columns.get(what)
    for name in [wanted.casefold()] if wanted else usual:
        if name in names:
            return names.index(name)
    missing = f"no column '{wanted}'" if wanted else f"no column for the {what}"
    raise DataError(path, 1, f"{missing}; name it with --{what}-column; the columns are: {', '.join(names)}")


def _rows(path: Path, reading: Reading) -> Iterator[Row]:
    """Rows with the line on which they begin; the delimiter is the commonest of the header's."""
    numbered = lines(path, opener(path, reading.on_bytes))
    first = next(numbered, None)
    if first is None:
        return
    delimiter = max(",;\t|", key=first[1].count)
    line_no = 1

    def again() -> Iterator[str]:
        nonlocal line_no
        yield f"{first[1]}\n"
        for line_no, line in numbered:  # noqa: B007  # told when a row cannot be read
            yield f"{line}\n"

    rows = csv.reader(again(), delimiter=delimiter, strict=True)
    begins = 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise DataError(path, begins, f"is not CSV: {error}; a quote may be left open there") from error
        if row is None:
            return
        if row:
            yield begins, row
        begins = line_no + 1


def _responses(path: Path, rows: Iterator[Row], columns: dict[int, str]) -> Iterator[Message]:
    """The tutorial's form: `context` is the line before the response, `context/0` the one before that."""
    for line_no, row in rows:
        if len(row) <= max(columns):
            raise DataError(
                path, line_no, f"has {len(row)} columns and should have {max(columns) + 1} or more"
            )
        for at, name in columns.items():
            yield Message(name, row[at], chat=str(line_no))


def _script(
    path: Path, rows: Iterator[Row], columns: tuple[int, int], sessions: list[int]
) -> Iterator[Message]:
    number, last = 0, None
    for line_no, row in rows:
        if len(row) <= max(*columns, *sessions):
            raise DataError(path, line_no, f"has {len(row)} columns, fewer than the header")
        key = [row[at] for at in sessions]
        number += key != last
        last = key
        speaker, text = (row[at].strip() for at in columns)
        yield Message(speaker or "unknown", text, kind="text" if speaker else "system", chat=str(number))
