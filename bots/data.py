"""The commands that make training data; each imports its work inside its body."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bots import flags

cli = typer.Typer()
Source = Literal["telegram", "whatsapp", "discord", "csv", "sharegpt", "chatml", "card", "plain"]
Speaker = Annotated[str | None, typer.Option("--speaker", metavar="NAME", help="Who becomes the character.")]
Persona = Annotated[str | None, typer.Option("--persona", metavar="P", help="Also begin persona_data/P.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="sessions.jsonl to write.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only look; write nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="I may use these messages; do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of the table.")]
Gap = Annotated[
    float | None, typer.Option("--gap", metavar="S", help="Silence in seconds that ends a session.")
]
Joiner = Annotated[
    str | None, typer.Option("--joiner", metavar="TEXT", help="Between messages that become one turn.")
]
Merge = Annotated[
    bool | None,
    typer.Option("--merge/--no-merge", help="Messages in a row become one turn.", show_default=False),
]
DevShare = Annotated[
    float | None, typer.Option("--dev-share", metavar="X", help="Newest sessions kept from training.")
]
KeepContactData = Annotated[
    bool | None, typer.Option("--keep-contact-data", help="Mask nothing.", show_default=False)
]
KeepForwarded = Annotated[
    bool | None, typer.Option("--keep-forwarded", help="Forwarded counts as said.", show_default=False)
]
DateOrder = Annotated[
    Literal["auto", "dmy", "mdy", "ymd"] | None,
    typer.Option("--date-order", help="How WhatsApp's dates are written."),
]
SpeakerColumn = Annotated[
    str | None, typer.Option("--speaker-column", metavar="C", help="csv: the column of names.")
]
TextColumn = Annotated[
    str | None, typer.Option("--text-column", metavar="C", help="csv: the column of lines.")
]
SessionColumn = Annotated[
    str | None, typer.Option("--session-column", metavar="C", help="csv: a new value, a new session.")
]


@cli.command("import", epilog="Example: banter import whatsapp chat.zip --speaker Anna --out sessions.jsonl")
def import_(
    source: Annotated[Source, typer.Argument(metavar="SOURCE", help="Where the files come from.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Exports of one chat or of many.")],
    speaker: Speaker = None,
    persona: Persona = None,
    out: Out = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    gap_s: Gap = None,
    joiner: Joiner = None,
    merge: Merge = None,
    dev_share: DevShare = None,
    keep_contact_data: KeepContactData = None,
    keep_forwarded: KeepForwarded = None,
    date_order: DateOrder = None,
    speaker_column: SpeakerColumn = None,
    text_column: TextColumn = None,
    session_column: SessionColumn = None,
    config: flags.Config = None,
) -> None:
    """Turn chat exports into training data.

    SOURCE is telegram, whatsapp, discord, csv, sharegpt, chatml, card or plain. Shows what was found, asks
    whether you may use it, and writes one session per line; the newest tenth goes into a file of its own.
    """
    from bots import importing, settings

    given = {
        "gap_s": gap_s,
        "joiner": joiner,
        "merge_runs": merge,
        "dev_share": dev_share,
        "keep_contact_data": keep_contact_data,
        "keep_forwarded": keep_forwarded,
        "date_order": date_order,
    }
    loaded = settings.load(config, {f"import.{key}": value for key, value in given.items()})
    columns = {"speaker": speaker_column, "text": text_column, "session": session_column}
    named = {key: value for key, value in columns.items() if value}
    order = importing.Order(source, tuple(files), speaker, named, out, persona, dry_run, yes, as_json)
    importing.run(order, loaded)
