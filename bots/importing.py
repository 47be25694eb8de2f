"""`banter import`: reads exports, shows what was found, asks for consent, writes sessions and a character."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

import typer

from bots import preview, starting
from bots.characters import title
from bots.errors import SettingsError
from bots.settings import Settings
from brain.finetune.sources.config import SourceName
from brain.finetune.sources.importing import Import, Preview, Request
from brain.finetune.sources.roles import MODEL_ROLES
from brain.finetune.sources.writing import dev_path, write

QUESTION = "Are these messages yours to use, and do all who wrote them agree that a model learns from them?"
TELL_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line; options of the import itself are settings."""

    source: SourceName
    files: tuple[Path, ...]
    speaker: str | None
    columns: dict[str, str]
    out: Path | None
    persona: str | None
    is_dry_run: bool
    has_consent: bool
    as_json: bool


def run(order: Order, settings: Settings) -> None:
    """Import, and tell on stdout what was found and written.

    Raises:
        SettingsError: --out is missing or one of the files, or nobody can be asked for consent.
        ConfigError: the speaker is missing or unknown.
        DataError: a file cannot be read or written; then nothing is.
    """
    _check(order)
    if order.persona:
        starting.check(order.persona)
    request = Request(order.source, order.files, order.speaker, settings.import_, order.columns)
    with Import(request) as work:
        size = sum(path.stat().st_size for path in order.files if path.is_file())
        with _progress("Reading", "bytes", size) as on_bytes:
            work.read(on_bytes)
        character = work.character()
        with _progress("Cutting", "messages", work.num_messages()) as on_messages:
            found = work.cut(character, on_messages)
        if not order.as_json:
            preview.show(found, order.out)
        if not order.is_dry_run:
            _ask(order)
        lines = {} if order.is_dry_run else _write(order, settings, work, found, work.called(character))
        if order.as_json:
            typer.echo(json.dumps({**asdict(found), **lines}, ensure_ascii=False))
        elif lines:
            typer.echo(_told(lines))


def _check(order: Order) -> None:
    if order.out is None and not order.is_dry_run:
        raise SettingsError(
            "--out is missing: name the file to write, such as sessions.jsonl, or say --dry-run"
        )
    if order.out is None:
        return
    if order.out.is_dir():
        raise SettingsError(
            f"{order.out} is a folder; --out names a file, such as {order.out / 'sessions.jsonl'}"
        )
    for written in (order.out, dev_path(order.out)):
        if any(written.exists() and path.exists() and written.samefile(path) for path in order.files):
            raise SettingsError(f"{written} is to be read and would be overwritten; choose another --out")


def _ask(order: Order) -> None:
    if order.has_consent:
        return
    if not sys.stdin.isatty():
        raise SettingsError(
            "nobody can be asked whether these messages may be used; if everybody in them agrees, say --yes"
        )
    if not typer.confirm(QUESTION, err=True):
        raise SettingsError("nothing was written: without consent there is nothing to learn from")


def _write(
    order: Order, settings: Settings, work: Import, found: Preview, name: str
) -> dict[str, str | list[str] | None]:
    assert order.out is not None
    write(work.bodies(), found.sessions - found.held_out, order.out, found.held_out > 0)
    dev = dev_path(order.out) if found.held_out else None
    persona = None
    if order.persona:
        card = order.files[0] if order.source == "card" else None
        if name.casefold() in MODEL_ROLES:  # a role is no name
            name = title(order.persona)
        persona = starting.begin(order.persona, settings.persona_root, name, card, order.source)
    command = ["banter", "finetune", "--data", str(order.out)]
    command += ["--dev", str(dev)] if dev else []
    command += ["--base", "starter", "--preset", "laptop", "--out", f"runs/{order.persona or order.out.stem}"]
    return {
        "out": str(order.out),
        "dev": str(dev) if dev else None,
        "persona": str(persona) if persona else None,
        "next": command,
    }


def _told(written: dict[str, str | list[str] | None]) -> str:
    import shlex

    paths = [str(written[key]) for key in ("out", "dev", "persona") if written[key]]
    command = written["next"]
    assert isinstance(command, list)
    return f"Written: {', '.join(paths)}\nNext:    {shlex.join(command)}"


@contextmanager
def _progress(what: str, unit: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, else a line on stderr every ten seconds; both tell rate and time left."""
    if not sys.stderr.isatty():
        yield _teller(what, unit, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns: list[ProgressColumn] = [TextColumn(what), BarColumn(), TaskProgressColumn(show_speed=True)]
    if unit == "bytes":
        columns = [TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn()]
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda num: bar.advance(task, num)


def _teller(what: str, unit: str, total: int) -> Callable[[int], None]:
    begun = told = monotonic()
    done = 0

    def tell(num: int) -> None:
        nonlocal told, done
        done += num
        now = monotonic()
        if now - told >= TELL_EVERY_S:
            told, rate = now, done / (now - begun)
            left = max(0.0, total - done) / max(rate, 1.0)
            line = f"{what}: {done:,} of {total:,} {unit}, {rate:,.0f} a second, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)

    return tell
