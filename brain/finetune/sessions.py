"""Files of dialogues to `Session` values. Every data source ends here, every recipe starts from here.

A line of sessions.jsonl is one session: {"turns": [TURN, …], "source"?: str}, where TURN is a string or
{"text": str, "speaker"?: str, "weight"?: number}. A transcript.jsonl has one turn a line instead:
{"session": int, "speaker": str, "text": str}. Either may be gzipped.
"""

import gzip
import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from brain.dialogue import Session, Turn
from brain.errors import DataError

SHAPE = 'each line must be an object with "turns", or with "session", "speaker" and "text"'


def read_sessions(path: Path) -> Iterator[Session]:
    """Yield the sessions of one file in order; sessions of fewer than two turns are passed over.

    Raises:
        DataError: the file cannot be read, or a line is not of the form above.
    """
    rows = _objects(path)
    first = next(rows, None)
    if first is None:
        raise DataError(path, 0, "the file is empty")
    rows = itertools.chain([first], rows)
    sessions = _from_transcript(path, rows) if "turns" not in first[1] else _from_lines(path, rows)
    return (session for session in sessions if len(session.turns) > 1)


def sample(sessions: list[Session], rate: float, generator: random.Random) -> list[Session]:
    """A share of the sessions without repetition, or with rate above 1 so many copies of each."""
    copies, share = divmod(rate, 1)
    extra = generator.sample(sessions, round(share * len(sessions)))
    return sessions * int(copies) + extra


def split_rate(name: str) -> tuple[Path, float]:
    """FILE@RATE to its parts; the rate is 1 when none is given or FILE itself has that name.

    Raises:
        DataError: the rate is not a positive number.
    """
    stem, at, rate = name.rpartition("@")
    if not at or Path(name).exists():
        return Path(name), 1.0
    try:
        value = float(rate)
    except ValueError:
        raise DataError(name, 0, f"'{rate}' after @ is not a sampling rate such as 0.1 or 3") from None
    if not (math.isfinite(value) and 0 < value <= 1000):
        raise DataError(name, 0, f"the sampling rate {rate} must be above 0 and at most 1000")
    return Path(stem), value


def hash_of(path: Path) -> str:
    """SHA-256 of the file as it lies on disk, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with _open_text(path) as file:
            for line_no, line in enumerate(file, 1):
                if line.strip():
                    yield line_no, _object(path, line_no, line)
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise DataError(path, 0, f"cannot be read: {error}") from error


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _object(path: Path, line_no: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(path, line_no, f"not valid JSON; {SHAPE}") from error
    if not isinstance(value, dict):
        raise DataError(path, line_no, f"not an object; {SHAPE}")
    return value


def _from_lines(path: Path, rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[Session]:
    for line_no, row in rows:
        turns = row.get("turns")
        if not isinstance(turns, list):
            raise DataError(path, line_no, f'no list "turns"; {SHAPE}')
        pairs = [_turn(path, line_no, turn) for turn in turns]
        source = str(row.get("source", path.name))
        yield Session(tuple(turn for turn, _ in pairs), tuple(weight for _, weight in pairs), source)


def _turn(path: Path, line_no: int, value: object) -> tuple[Turn, float]:
    if isinstance(value, str):
        return Turn(value), 1.0
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        weight = value.get("weight", 1.0)
        if isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0:
            return Turn(value["text"], str(value.get("speaker", ""))), float(weight)
        raise DataError(path, line_no, f'"weight" must be a number of 0 or more, not {weight!r}')
    raise DataError(path, line_no, 'a turn must be a string or an object with "text"')


def _from_transcript(path: Path, rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[Session]:
    def key(row: tuple[int, dict[str, Any]]) -> object:
        return row[1].get("session")

    for _, group in itertools.groupby(rows, key):
        turns = []
        for line_no, row in group:
            if not isinstance(row.get("text"), str) or not isinstance(row.get("speaker"), str):
                raise DataError(path, line_no, f'no "speaker" and "text"; {SHAPE}')
            turns.append(Turn(row["text"], row["speaker"]))
        yield Session(tuple(turns), (1.0,) * len(turns), path.name)
