"""Messages to sessions: cut at silences, what one person sent in a row joined to a turn."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from brain.contacts import mask
from brain.dialogue import Session, Turn
from brain.encoding import clean_turn
from brain.finetune.rules import session_refusal
from brain.finetune.sources.config import ImportConfig
from brain.finetune.sources.spool import Speaker, Stored


@dataclass(slots=True)
class Tally:
    """What was met on the way: sessions dropped by rule, and of the others contact data and times."""

    rules: Counter[str] = field(default_factory=Counter)
    contacts: Counter[str] = field(default_factory=Counter)
    first: float | None = None
    last: float | None = None


@dataclass(slots=True)
class _Run:
    """Messages of one speaker in a row, cleaned, and the contact data found in them."""

    first: Stored
    texts: list[str] = field(default_factory=list)
    contacts: Counter[str] = field(default_factory=Counter)


class Cutter:
    """Cuts by one set of options, for one character.

    Args:
        character: number of the speaker whose turns carry loss.
        names: what each speaker is called in the sessions, by number.
        sources: what each file is called in the sessions, by number from 1.
    """

    def __init__(
        self, options: ImportConfig, character: int, names: dict[int, str], sources: list[str]
    ) -> None:
        self._options, self._character, self._names, self._sources = options, character, names, sources
        self.tally = Tally()

    def sessions(self, messages: Iterable[Stored]) -> Iterator[tuple[float | None, Session]]:
        """Yield sessions with the time they begin; those with nothing to learn are only counted."""
        said: list[Stored] = []
        before: Stored | None = None
        for message in messages:
            if before is None or self._begins(before, message):
                yield from self._finish(said)
                said = []
            before = message
            if message.text is not None:
                said.append(message)
            if len(said) > 4 * self._options.max_turns:  # a chat without silences
                yield from self._finish(said)
                said = []
        yield from self._finish(said)

    def _begins(self, before: Stored, message: Stored) -> bool:
        if before.chat != message.chat:
            return True
        if before.time is None or message.time is None:
            return False
        return abs(message.time - before.time) > self._options.gap_s

    def _finish(self, said: list[Stored]) -> Iterator[tuple[float | None, Session]]:
        if not said:
            return
        runs: list[_Run] = []
        for message in said:
            cleaned = clean_turn(message.text or "")
            masked, found = mask(cleaned)
            is_new = not runs or not self._options.merge_runs or runs[-1].first.speaker != message.speaker
            if is_new:
                runs.append(_Run(message))
            runs[-1].texts.append(cleaned if self._options.keep_contact_data else masked)
            runs[-1].contacts.update(found)
        for at in range(0, len(runs), self._options.max_turns):
            yield from self._kept(runs[at : at + self._options.max_turns])

    def _kept(self, runs: list[_Run]) -> Iterator[tuple[float | None, Session]]:
        turns = tuple(
            Turn(self._options.joiner.join(run.texts), self._names[run.first.speaker]) for run in runs
        )
        weights = tuple(float(run.first.speaker == self._character) for run in runs)
        if rule := session_refusal(weights):
            self.tally.rules[rule] += 1
            return
        for run in runs:
            self.tally.contacts.update(run.contacts)
        times = [run.first.time for run in runs if run.first.time is not None]
        if times:
            self.tally.first = min(times) if self.tally.first is None else min(self.tally.first, *times)
            self.tally.last = max(times) if self.tally.last is None else max(self.tally.last, *times)
        yield runs[0].first.time, Session(turns, weights, self._sources[runs[0].first.file - 1])


def shown_names(speakers: list[Speaker], character: Speaker, called: str, keep: bool) -> dict[int, str]:
    """What each speaker is called in the sessions, no two alike; a name that is a phone number is masked."""
    names = {character.number: clean_turn(called)}
    for speaker in speakers:
        name = clean_turn(speaker.name)
        masked, found = mask(name)
        if found and not keep:
            name = f"{masked} {speaker.number + 1}"
        elif name in names.values():
            name = f"{name} {speaker.number + 1}"
        names.setdefault(speaker.number, name)
    return names
