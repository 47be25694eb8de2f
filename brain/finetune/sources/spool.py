"""Messages and sessions waiting on disk, so that an export of any size needs the same memory.

SQLite keeps them in a nameless temporary file, which is gone with the process however it ends.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from brain.dialogue import Session
from brain.errors import DataError
from brain.finetune.rules import refusal
from brain.finetune.sources.messages import Export, Message

BATCH = 2000
_TABLES = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384; PRAGMA temp_store = FILE;
CREATE TABLE message (seq INTEGER PRIMARY KEY, file INT, chat INT, time REAL, speaker INT, text TEXT, key INT,
                      rule TEXT);
CREATE TABLE session (seq INTEGER PRIMARY KEY, start REAL, key INT UNIQUE, body TEXT);
CREATE TABLE line (key INT);
"""


@dataclass(frozen=True, slots=True)
class Speaker:
    """One who speaks in the files; `num` counts the messages that no rule drops."""

    number: int
    name: str
    id: str
    num: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that came back from the disk; `text` is None when a rule dropped it."""

    chat: int
    file: int
    time: float | None
    speaker: int
    text: str | None


class Spool:
    """Takes messages file by file, gives them back chat by chat; closed by `close`."""

    def __init__(self, keep_forwarded: bool = False) -> None:
        self._db = sqlite3.connect("")
        self._db.executescript(_TABLES)
        self._keep_forwarded = keep_forwarded
        self._speakers: dict[str, int] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._chats: dict[str, int] = {}
        self._num_chats = self._num_files = 0
        self._is_timed = False
        self.seen_twice = 0

    def close(self) -> None:
        """Give the disk back."""
        self._db.close()

    def add(self, export: Export) -> None:
        """Take all messages of one file.

        Raises:
            DataError: as the reader, or the disk is full.
        """
        self._num_files += 1
        with _disk():
            rows: list[tuple[object, ...]] = []
            for row in self._rows(export):
                rows.append(row)
                if len(rows) == BATCH:
                    self._insert(rows)
                    rows.clear()
            self._insert(rows)

    def _insert(self, rows: list[tuple[object, ...]]) -> None:
        self._db.executemany(
            "INSERT INTO message (file, chat, time, speaker, text, key, rule) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def _rows(self, export: Export) -> Iterator[tuple[object, ...]]:
        chat, last_chat = 0, None
        repeats: Counter[int] = Counter()
        last_time: float | None = None
        for message in export.messages:
            if message.chat != last_chat:
                last_chat = message.chat
                chat = self._chat(message.chat if export.has_ids else "")
            if message.time != last_time:
                last_time = message.time
                repeats.clear()
            self._is_timed = self._is_timed or message.time is not None
            if export.has_ids and message.id:
                key = hash(message.id)
            else:
                key = hash((message.time, message.speaker, message.text))
                repeats[key] += 1  # the same said twice at once is not the same message
                key = hash((key, repeats[key]))
            rule = refusal(message.kind, message.text, self._keep_forwarded)
            text = (
                None if rule else message.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            )
            yield self._num_files, chat, message.time, self._speaker(message), text, key, rule

    def _chat(self, key: str) -> int:
        if key and key in self._chats:
            return self._chats[key]
        self._num_chats += 1
        if key:
            self._chats[key] = self._num_chats
        return self._num_chats

    def _speaker(self, message: Message) -> int:
        number = self._speakers.setdefault(message.speaker_id or message.speaker, len(self._speakers))
        self._names[number] = (message.speaker, message.speaker_id)  # the newest name of an id
        return number

    def join_files(self) -> None:
        """Make one chat of those that share messages across files, and drop what stands there twice.

        Raises:
            DataError: the disk is full.
        """
        if self._num_files < 2 or not self._is_timed:
            return
        with _disk():
            self._db.execute("CREATE INDEX by_key ON message (key)")
            for first, second in self._overlaps():
                self._db.execute("UPDATE message SET chat = ? WHERE chat = ?", (first, second))
            self.seen_twice = self._db.execute(
                "DELETE FROM message WHERE seq NOT IN (SELECT min(seq) FROM message GROUP BY chat, key)"
            ).rowcount

    def _overlaps(self) -> Iterator[tuple[int, int]]:
        """Pairs of chats to join, the first one already joined with those before it."""
        found = self._db.execute(
            "SELECT a.chat, b.chat, count(*) FROM message a JOIN message b"
            " ON a.key = b.key AND a.file < b.file AND a.chat != b.chat GROUP BY 1, 2"
        ).fetchall()
        root: dict[int, int] = {}
        for first, second, num in sorted(found):
            sizes = "SELECT count(*) FROM message WHERE chat = ?"
            smaller = min(self._db.execute(sizes, (chat,)).fetchone()[0] for chat in (first, second))
            if num >= min(2, smaller):  # one "ok" in the same minute proves nothing
                target, source = root.get(first, first), root.get(second, second)
                if target != source:
                    root = {chat: target if at == source else at for chat, at in root.items()}
                    root[second] = root[source] = target
                    yield target, source

    def speakers(self) -> list[Speaker]:
        """Everybody whose messages stayed, most talkative first."""
        counted = self._db.execute(
            "SELECT speaker, count(*) FROM message WHERE rule IS NULL GROUP BY speaker"
        )
        found = [Speaker(number, *self._names[number], num) for number, num in counted]
        return sorted(found, key=lambda one: (-one.num, one.name))

    def dropped(self) -> Counter[str]:
        """Rules and how many messages each dropped."""
        rows = self._db.execute("SELECT rule, count(*) FROM message WHERE rule IS NOT NULL GROUP BY rule")
        return Counter(dict(rows.fetchall()))

    def num_messages(self) -> int:
        """How many messages `messages` yields."""
        [num] = self._db.execute("SELECT count(*) FROM message").fetchone()
        return int(num)

    def messages(self, on_messages: Callable[[int], None] = lambda num: None) -> Iterator[Stored]:
        """Chat by chat; in the order of the file, or of the time where files were joined."""
        order = "chat, time, seq" if self._num_files > 1 and self._is_timed else "seq"
        query = f"SELECT chat, file, time, speaker, text FROM message ORDER BY {order}"
        with _disk():
            rows = self._db.execute(query)
            while batch := rows.fetchmany(BATCH):
                on_messages(len(batch))
                yield from (Stored(*row) for row in batch)

    def add_sessions(
        self, sessions: Iterable[tuple[float | None, Session]], on_kept: Callable[[Session], None]
    ) -> int:
        """Take sessions with the time of their beginning; the number of those that were there already."""
        twice = 0
        with _disk():
            for start, session in sessions:
                key = hash((tuple(turn.text for turn in session.turns), session.weights))
                body = json.dumps(_body(session), ensure_ascii=False)
                done = self._db.execute(
                    "INSERT OR IGNORE INTO session (start, key, body) VALUES (?, ?, ?)", (start, key, body)
                )
                twice += not done.rowcount
                if done.rowcount:
                    on_kept(session)
                    pairs = zip(session.turns, session.weights, strict=True)
                    lines = [(hash(turn.text.casefold()),) for turn, weight in pairs if weight]
                    self._db.executemany("INSERT INTO line VALUES (?)", lines)
        return twice

    def bodies(self) -> Iterator[str]:
        """Sessions as lines of sessions.jsonl, oldest first."""
        with _disk():
            for (body,) in self._db.execute("SELECT body FROM session ORDER BY start, seq"):
                yield body

    def repeated_lines(self) -> int:
        """How many of the trained lines stand there before, word for word."""
        [num] = self._db.execute("SELECT count(*) - count(DISTINCT key) FROM line").fetchone()
        return int(num)


def _body(session: Session) -> dict[str, object]:
    turns = [
        {"text": turn.text, "speaker": turn.speaker, "weight": int(weight)}
        for turn, weight in zip(session.turns, session.weights, strict=True)
    ]
    return {"turns": turns, "source": session.source}


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise DataError(
            "temporary files", 0, f"{error}; free some space or point TMPDIR to another disk"
        ) from error
