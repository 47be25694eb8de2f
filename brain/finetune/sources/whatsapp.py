"""WhatsApp's _chat.txt, alone or in its zip, from Android and iPhone, in any locale.

The file is read twice: the first time to learn how this phone writes dates and which names there are.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from brain.errors import DataError
from brain.finetune.rules import Kind
from brain.finetune.sources import archive, notices, stamps
from brain.finetune.sources.clock import Clock
from brain.finetune.sources.messages import Export, Message, Reading
from brain.finetune.sources.text_files import MAX_LINE, Opener, lines, opener

HINT = "no WhatsApp messages; in the chat choose More, Export chat, Without media"
MAX_NAME = 120
MAX_NAMES = 100_000
_SPACED = re.compile(r"[ \t\u00a0\u202f]?[:\uff1a](?:[ \u00a0]|$)")
_BARE = re.compile(r"[:\uff1a]")
_QUOTES = re.compile(r"[\"\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f]")
_UNMARKED = str.maketrans("", "", stamps.MARKS)


@dataclass(slots=True)
class _Survey:
    """What the lines of one shape have in common."""

    clock: Clock = field(default_factory=Clock)
    num_spaced: int = 0
    num_bare: int = 0
    firsts: dict[bool, Counter[str]] = field(default_factory=lambda: {True: Counter(), False: Counter()})
    seconds: dict[bool, dict[str, set[str]]] = field(default_factory=lambda: {True: {}, False: {}})
    lines: dict[bool, dict[str, set[str]]] = field(default_factory=lambda: {True: {}, False: {}})

    def see(self, stamp: stamps.Stamp, rest: str) -> None:
        self.clock.see(stamp)
        is_spaced, is_bare = bool(_SPACED.search(rest, 0, MAX_NAME)), bool(_BARE.search(rest, 0, MAX_NAME))
        self.num_spaced, self.num_bare = self.num_spaced + is_spaced, self.num_bare + is_bare
        if rest.startswith("\u200e"):
            return  # what an iPhone says itself
        for spaced in (True, False):
            names = _names(rest, spaced)
            if names and len(self.firsts[spaced]) < MAX_NAMES:
                self.firsts[spaced][names[0]] += 1
                longer = self.seconds[spaced].setdefault(names[0], set())
                if len(longer) < 2:
                    longer.add(names[1] if len(names) > 1 else "")
                different = self.lines[spaced].setdefault(names[0], set())
                if len(different) < 2:
                    different.add(rest[:MAX_NAME])

    def speaker(self, rest: str) -> tuple[str, str] | None:
        """Name and text, None for a notice, which nobody said."""
        is_spaced = self.num_spaced * 2 >= self.num_bare
        names = _names(rest, is_spaced)
        if not names:
            return None
        firsts, name = self.firsts[is_spaced], names[0]
        longer = self.seconds[is_spaced].get(name, set())
        if len(names) > 1 and longer == {names[1]} and len(self.lines[is_spaced][name]) > 1:
            name = names[1]  # each line of "Dr" goes on with "Who: ", so the colon belongs to the name
        elif self._is_notice(rest, name, firsts):
            return None
        ends = (_SPACED if is_spaced else _BARE).finditer(rest)
        end = [found.end() for found, _ in zip(ends, names, strict=False)][names.index(name)]
        return name, rest[end:]

    def _is_notice(self, rest: str, name: str, firsts: Counter[str]) -> bool:
        if firsts[name] > 2:
            return False
        if rest.startswith("\u200e") and not firsts[name]:
            return not rest.translate(_UNMARKED).startswith(name)
        if _QUOTES.search(name) and not name.startswith(tuple('"“„«「')):
            return True  # somebody changed the subject to "Trip: the plan"
        words = name.split()
        begins = (" ".join(words[:num]) for num in range(1, len(words) - 2))
        return firsts[name] == 1 and any(firsts[begin] > 1 for begin in begins)


def _names(rest: str, is_spaced: bool) -> list[str]:
    """What stands before the first colon, and before the second."""
    names: list[str] = []
    for found in (_SPACED if is_spaced else _BARE).finditer(rest, 0, MAX_NAME):
        name = " ".join(rest[: found.start()].translate(_UNMARKED).split())
        name = name.removeprefix("~").lstrip()  # somebody who is not in the phone's contacts
        if not name or len(names) == 2:
            break
        names.append(name)
    return names


def read(path: Path, reading: Reading) -> Export:
    """The messages of one chat; a line that begins with no stamp goes on with the message above."""
    is_zip = archive.is_zip(path)
    survey_opener = archive.text_opener(path) if is_zip else opener(path)
    shape, survey = _survey(path, survey_opener)
    order = survey.clock.order() if reading.date_order == "auto" else reading.date_order
    notes = []
    if reading.date_order == "auto" and not survey.clock.is_certain():
        notes.append(f"{path.name}: dates are read as {order}; if that is wrong say --date-order")
    again = archive.text_opener(path, reading.on_bytes) if is_zip else opener(path, reading.on_bytes)
    return Export(_messages(path, again, (shape, survey), order), notes=notes)


def _survey(path: Path, open_file: Opener) -> tuple[tuple[str, ...], _Survey]:
    surveys: dict[tuple[str, ...], _Survey] = {}
    for _, line in lines(path, open_file):
        if found := stamps.split(line):
            stamp, rest = found
            if stamp.shape in surveys or len(surveys) < 50:
                surveys.setdefault(stamp.shape, _Survey()).see(stamp, rest)
    if not surveys:
        raise DataError(path, 0, HINT)
    shape = max(surveys, key=lambda one: surveys[one].clock.num)  # others were pasted into messages
    return shape, surveys[shape]


def _messages(
    path: Path, open_file: Opener, learnt: tuple[tuple[str, ...], _Survey], order: str
) -> Iterator[Message]:
    shape, survey = learnt
    said: tuple[float, str] | None = None
    body: list[str] = []
    size = 0
    for line_no, line in lines(path, open_file):
        found = stamps.split(line)
        if not found or found[0].shape != shape:
            if said is None and line.strip(stamps.MARKS + " "):
                raise DataError(path, line_no, f"does not begin with a date as the other lines do; {HINT}")
            body.append(line)
            size += len(line)
            if size > MAX_LINE:
                raise DataError(path, line_no, f"goes on with a message of more than {MAX_LINE} characters")
            continue
        if said:
            yield _message(survey, said[0], "\n".join([said[1], *body]))
        time = survey.clock.seconds(found[0], order)
        if time is None:
            raise DataError(path, line_no, f"has no date that can be read as {order}; say --date-order")
        said, body, size = (time, found[1]), [], 0
    if said:
        yield _message(survey, said[0], "\n".join([said[1], *body]))


def _message(survey: _Survey, time: float, rest: str) -> Message:
    first, _, more = rest.partition("\n")
    split = survey.speaker(first)
    if not split:
        return Message("", rest, time, "system")
    name, text = split
    kind: Kind
    kind, text = notices.judge(f"{text}\n{more}" if more else text)
    return Message(name, text, time, kind)
