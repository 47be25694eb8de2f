"""The characters in the box: complete, in voice enough to learn from, and readable by the training recipe."""

import json
from collections import Counter
from pathlib import Path

import pytest

from brain.encoding import clean_turn
from brain.finetune.sessions import read_sessions
from brain.persona import load_persona

ROOT = Path(__file__).parent.parent / "persona_data"
FOLDERS = sorted(path for path in ROOT.iterdir() if path.is_dir())


def test_two_characters_or_more_are_in_the_box() -> None:
    assert len(FOLDERS) >= 2


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_character_greets_and_has_fallback_lines(folder: Path) -> None:
    persona = load_persona(folder)

    assert persona.greeting
    assert len(set(persona.fallback)) >= 5
    assert (folder / "SOURCE.md").is_file()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_transcript_holds_150_exchanges_of_two_alternating_speakers(folder: Path) -> None:
    name = load_persona(folder).name
    sessions = list(read_sessions(folder / "transcript.jsonl"))

    speakers = [[turn.speaker for turn in session.turns] for session in sessions]

    assert all(said == (["Guest", name] * len(said))[: len(said)] and said[-1] == name for said in speakers)
    assert sum(said.count(name) for said in speakers) >= 150


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_no_line_of_a_character_stands_twice(folder: Path) -> None:
    name = load_persona(folder).name
    rows = [json.loads(line) for line in (folder / "transcript.jsonl").read_text().splitlines()]
    lines = [row["text"] for row in rows if row["speaker"] == name]

    assert len(set(lines)) == len(lines)
    assert all(clean_turn(line) == line for line in lines)
    # A voice has habits, but not the same words every time.
    openings = Counter(line.split()[0].casefold() for line in lines)
    assert max(openings.values()) <= 0.5 * len(lines)
