"""What an import found, as tables on a terminal and as plain lines elsewhere."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import typer

from brain.encoding import clean_turn
from brain.finetune.rules import REASONS
from brain.finetune.sources.importing import Preview
from brain.finetune.sources.writing import dev_path

MAX_SPEAKERS = 20
Rows = list[tuple[str, ...]]


def show(found: Preview, out: Path | None) -> None:
    """Print the tables to stdout."""
    speakers, facts = speaker_rows(found), fact_rows(found, out)
    if not sys.stdout.isatty():
        for row in (*speakers, (), *facts):
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    people = Table(*speakers[0])
    for row in speakers[1:]:
        people.add_row(*map(Text, row))
    console.print(people)
    rest = Table(show_header=False)
    for row in facts:
        rest.add_row(*map(Text, row))
    console.print(rest)


def speaker_rows(found: Preview) -> Rows:
    """A header and a row per speaker; the character is marked."""
    rows: Rows = [("speaker", "messages", "turns", "tokens", "role")]
    for one in found.speakers[:MAX_SPEAKERS]:
        role = "the character" if one.is_character else "context"
        rows.append((clean_turn(one.name), str(one.messages), str(one.turns), str(one.tokens), role))
    rest = found.speakers[MAX_SPEAKERS:]
    if rest:
        sums = (
            sum(one.messages for one in rest),
            sum(one.turns for one in rest),
            sum(one.tokens for one in rest),
        )
        rows.append((f"{len(rest)} more", *map(str, sums), "context"))
    return rows


def fact_rows(found: Preview, out: Path | None) -> Rows:
    """Everything else, name and value."""
    dev = f" -> {dev_path(out)}" if out and found.held_out else ""
    contacts = ", ".join(f"{num} {kind}" for kind, num in found.contacts.items()) or "none found"
    if found.contacts:
        contacts += ", masked" if found.are_contacts_masked else ", KEPT as written"
    rows: Rows = [
        ("sessions", str(found.sessions)),
        ("turns", f"{found.turns}, {found.trained_turns} of them the character's"),
        ("tokens", f"{found.tokens}, {found.trained_tokens} of them the character's"),
        ("time span", _span(found)),
        ("contact data", contacts),
        (
            "duplicates",
            f"{found.dropped.get('duplicate session', 0)} sessions, "
            f"{found.dropped.get('seen twice', 0)} messages; {found.repeated_lines} repeated lines",
        ),
        (
            "held out",
            f"{found.held_out} of {found.sessions} sessions, the newest{dev}" if found.held_out else "none",
        ),
    ]
    known = {str(rule): reason for rule, reason in REASONS.items()}
    rows += [(f"dropped: {rule}", f"{num} ({known[rule]})") for rule, num in found.dropped.items()]
    return rows + [("note", clean_turn(note)) for note in found.notes]


def _span(found: Preview) -> str:
    if found.first is None or found.last is None:
        return "the format has no times"
    first, last = (_day(seconds) for seconds in (found.first, found.last))
    return f"{first} to {last}"


def _day(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return "a day that no calendar has"
