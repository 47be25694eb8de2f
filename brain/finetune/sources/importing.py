"""Exports in, sessions.jsonl out: read, choose the character, cut, look at it, write."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import brain
from brain.dialogue import Session
from brain.encoding import TurnEncoder, clean_turn, encoder_from_folder
from brain.errors import ConfigError, DataError
from brain.finetune.sources import formats
from brain.finetune.sources.config import ImportConfig, SourceName
from brain.finetune.sources.cutting import Cutter, Tally, shown_names
from brain.finetune.sources.messages import Export, Reading
from brain.finetune.sources.roles import MODEL_ROLES
from brain.finetune.sources.spool import Speaker, Spool

STARTER = Path(brain.__file__).parent / "starter"
ROLE_SOURCES = ("sharegpt", "chatml")
MAX_NAMED = 12  # speakers in one sentence
BATCH = 2000  # turns encoded at once


@dataclass(frozen=True, slots=True)
class Request:
    """What to import: files of one source, and the speaker who becomes the character.

    `columns` names columns of a CSV: "speaker", "text", "session".
    """

    source: SourceName
    files: tuple[Path, ...]
    speaker: str | None
    options: ImportConfig = field(default_factory=ImportConfig)
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpeakerTally:
    """One speaker and how much of theirs is in the sessions."""

    name: str
    messages: int
    turns: int
    tokens: int
    is_character: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import brings; counts are of the sessions that stayed.

    `first` and `last` are seconds since 1970 in the export's zone, None without times. `dropped` and
    `contacts` count by rule and by kind. `trained_*` are the character's share, which carries the loss.
    """

    source: str
    speakers: tuple[SpeakerTally, ...]
    sessions: int
    held_out: int
    turns: int
    tokens: int
    trained_turns: int
    trained_tokens: int
    first: float | None
    last: float | None
    dropped: dict[str, int]
    contacts: dict[str, int]
    are_contacts_masked: bool
    repeated_lines: int
    notes: tuple[str, ...]


class Import:
    """One import between reading and writing; a context manager, because it keeps a temporary file."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._spool = Spool(request.options.keep_forwarded)
        self._exports: list[Export] = []

    def __enter__(self) -> "Import":
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def read(self, on_bytes: Callable[[int], None] = lambda num: None) -> None:
        """Read all files.

        Args:
            on_bytes: told how many bytes of the files were read since the last time.
        Raises:
            DataError: a file cannot be read, is not of this source, or has no message in it.
        """
        options = self._request.options
        for path in self._request.files:
            export = formats.read(
                self._request.source, path, Reading(options.date_order, self._request.columns, on_bytes)
            )
            self._exports.append(export)
            self._spool.add(export)
        self._spool.join_files()
        if not self._spool.speakers():
            raise DataError(self._request.files[0], 0, "holds no message with a text")

    def character(self) -> Speaker:
        """The speaker asked for.

        Raises:
            ConfigError: none was asked for, there is none, naming those there are, or several bear the name.
        """
        speakers, wanted = self._spool.speakers(), self._request.speaker
        role = self._exports[0].reply_role
        if role and (wanted is None or not self._exports[0].names_people or self._is_role(wanted)):
            roles = MODEL_ROLES if self._is_role(role) else (role.casefold(),)
            found = [one for one in speakers if one.name.casefold() in roles or one.id.casefold() in roles]
        elif wanted is None:
            raise ConfigError(
                f"--speaker is missing: say who becomes the character; there are {_named(speakers)}"
            )
        else:
            found = _matching(speakers, wanted)
        if len(found) > 1:
            ids = " or ".join(f"'{one.id or one.name}'" for one in found[:MAX_NAMED])
            raise ConfigError(f"several speakers are called '{found[0].name}'; say --speaker {ids}")
        if not found:
            names = {clean_turn(one.name).casefold(): one.name for one in speakers}
            nearest = get_close_matches((wanted or role).casefold(), names, n=1, cutoff=0.5)
            hint = f"did you mean '{names[nearest[0]]}'? " if nearest else ""
            raise ConfigError(f"no speaker '{wanted or role}'; {hint}there are {_named(speakers)}")
        return found[0]

    def called(self, character: Speaker) -> str:
        """What the character is called in the sessions: the name asked for where the format knows none."""
        if self._request.speaker and not self._exports[0].names_people:
            return self._request.speaker
        return character.name

    def num_messages(self) -> int:
        """How many messages `cut` will go through."""
        return self._spool.num_messages()

    def cut(self, character: Speaker, on_messages: Callable[[int], None] = lambda num: None) -> Preview:
        """Make the sessions, ready to be written.

        Args:
            on_messages: told how many messages were gone through since the last time.
        Raises:
            DataError: no session is left in which the character answers somebody.
        """
        options = self._request.options
        speakers = self._spool.speakers()
        names = shown_names(speakers, character, self.called(character), options.keep_contact_data)
        sources = [f"{self._request.source}/{clean_turn(path.name)}" for path in self._request.files]
        cutter = Cutter(options, character.number, names, sources)
        counts = _Counts(encoder_from_folder(STARTER))
        duplicates = self._spool.add_sessions(cutter.sessions(self._spool.messages(on_messages)), counts.add)
        counts.finish()
        if not counts.sessions:
            raise DataError(
                self._request.files[0],
                0,
                f"{self.called(character)} answers nobody in it; choose another --speaker, or a longer --gap",
            )
        named = [
            SpeakerTally(
                names[one.number],
                one.num,
                counts.turns[names[one.number]],
                counts.tokens[names[one.number]],
                one.number == character.number,
            )
            for one in speakers
        ]
        return self._preview(tuple(named), counts, cutter.tally, duplicates)

    def _preview(
        self, speakers: tuple[SpeakerTally, ...], counts: "_Counts", tally: Tally, duplicates: int
    ) -> Preview:
        options = self._request.options
        dropped = Counter(self._spool.dropped()) + tally.rules
        dropped += Counter({"seen twice": self._spool.seen_twice, "duplicate session": duplicates})
        trained = [one for one in speakers if one.is_character]
        notes = [note for export in self._exports for note in export.notes]
        held_out = num_held_out(counts.sessions, options.dev_share)
        if options.dev_share and not held_out:
            notes.append("one session is too few to hold any out")
        return Preview(
            source=self._request.source,
            speakers=speakers,
            sessions=counts.sessions,
            held_out=held_out,
            turns=counts.turns.total(),
            tokens=counts.tokens.total(),
            trained_turns=sum(one.turns for one in trained),
            trained_tokens=sum(one.tokens for one in trained),
            first=tally.first,
            last=tally.last,
            dropped=dict(dropped.most_common()),
            contacts=dict(tally.contacts.most_common()),
            are_contacts_masked=not options.keep_contact_data,
            repeated_lines=self._spool.repeated_lines(),
            notes=tuple(notes),
        )

    def bodies(self) -> Iterator[str]:
        """The sessions as lines of sessions.jsonl, oldest first; those held out are the last ones."""
        return self._spool.bodies()

    @staticmethod
    def _is_role(name: str) -> bool:
        return name.casefold() in MODEL_ROLES


def num_held_out(num_sessions: int, share: float) -> int:
    """How many sessions are kept from training: the share, at least one, never all; 0 of a single one."""
    if not share or num_sessions < 2:
        return 0
    return min(num_sessions - 1, max(1, round(share * num_sessions)))


class _Counts:
    """Turns and tokens per name of the sessions that are kept."""

    def __init__(self, encoder: TurnEncoder) -> None:
        self._encoder = encoder
        self._waiting: list[tuple[str, str]] = []
        self.sessions = 0
        self.turns: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()

    def add(self, session: Session) -> None:
        self.sessions += 1
        self._waiting += ((turn.speaker, turn.text) for turn in session.turns)
        if len(self._waiting) >= BATCH:
            self.finish()

    def finish(self) -> None:
        ids = self._encoder.encode_texts([text for _, text in self._waiting]) if self._waiting else []
        for (name, _), one in zip(self._waiting, ids, strict=True):
            self.turns[name] += 1
            self.tokens[name] += len(one)
        self._waiting.clear()


def _matching(speakers: Sequence[Speaker], wanted: str) -> list[Speaker]:
    """By id, by name, by name in any case: the first way that finds somebody."""
    plain = clean_turn(wanted).casefold()
    ways: tuple[Callable[[Speaker], bool], ...] = (
        lambda one: one.id == wanted,
        lambda one: one.name == wanted,
        lambda one: clean_turn(one.name).casefold() == plain,
    )
    return next((found for way in ways if (found := [one for one in speakers if way(one)])), [])


def _named(speakers: Sequence[Speaker]) -> str:
    shown = ", ".join(f"'{clean_turn(one.name)}' ({one.num})" for one in speakers[:MAX_NAMED])
    more = len(speakers) - MAX_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
