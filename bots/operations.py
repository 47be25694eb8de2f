"""The commands of whoever runs a bot for others; each imports its work inside its body."""

from pathlib import Path
from typing import Annotated

import typer

from bots import flags

cli = typer.Typer()
Adapter = Annotated[str, typer.Option("--adapter", metavar="NAME", help="The platform the person is on.")]
User = Annotated[str, typer.Option("--user", metavar="ID", help="The person's id there, not the name.")]
Only = Annotated[str, typer.Option("--only", metavar="NAME,...", help="These platforms, enabled or not.")]


@cli.command(epilog="Example: banter run --only telegram,console")
def run(
    only: Only = "",
    persona: flags.PersonaName = None,
    model: flags.Model = None,
    reverse: flags.Reverse = None,
    decoding: flags.Decoding = None,
    seed: flags.Seed = None,
    config: flags.Config = None,
) -> None:
    """Answer on all enabled chat platforms until stopped.

    Ctrl-C or SIGTERM ends in order: nothing new is taken, answers in the making are sent; a second one ends
    at once. What was accepted is answered after the next start.
    """
    from bots import app, logs, settings
    from bots.service import enabled, secrets_of

    given = flags.by_key(persona=persona, model=model, reverse=reverse, decoding=decoding, seed=seed)
    loaded = settings.load(config, given)
    adapters = enabled(loaded, _names(only))  # mistakes are told before the model is loaded
    logs.set_up(loaded.log, secrets_of(loaded, adapters))
    app.work(config, given, app.serve(adapters))


@cli.command(epilog="Example: banter init --only telegram")
def init(
    only: Only = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing config.toml.")] = False,
    config: flags.Config = None,
) -> None:
    """Write config.toml and .env by asking a few questions.

    Secrets go into .env, readable for you alone, and are never shown.
    """
    from bots import settings, wizard

    file = config or settings.DEFAULT_FILE
    for line in wizard.run(wizard.at_terminal(), _names(only), file, is_overwriting=force):
        typer.echo(line)


@cli.command(epilog="Example: banter doctor --json")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config: flags.Config = None,
) -> None:
    """Look at everything without changing anything; each finding comes with its fix.

    Exit code 1 when there is a problem.
    """
    import asyncio
    import json

    from bots.doctor import examine

    seen = asyncio.run(examine(config))
    is_ok = all(one.finding.level != "problem" for one in seen)
    if as_json:
        typer.echo(json.dumps({"ok": is_ok, "findings": [one.to_json() for one in seen]}, ensure_ascii=False))
    else:
        for one in seen:
            typer.echo(one.sentence())
    raise typer.Exit(0 if is_ok else 1)


@cli.command(epilog="Example: banter export --adapter telegram --user 12345 > person.json")
def export(adapter: Adapter, user: User, config: flags.Config = None) -> None:
    """All that is kept of one person, as JSON."""
    import json

    from bots import people, upkeep

    people.check_named(user)
    found = upkeep.on_database(config, lambda found: people.export(found, adapter, user), adapter)
    typer.echo(json.dumps(found, ensure_ascii=False, indent=1))


@cli.command(epilog="Example: banter forget --adapter telegram --user 12345")
def forget(adapter: Adapter, user: User, config: flags.Config = None) -> None:
    """Delete all that is kept of one person; the bot may be running."""
    from bots import people, upkeep

    people.check_named(user)
    num_turns = upkeep.on_database(
        config, lambda connection: people.forget(connection, adapter, user), adapter
    )
    typer.echo(f"deleted {num_turns} turns; backups made before are not changed")


@cli.command(epilog="Example: banter backup monday.db")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; must not exist.")],
    config: flags.Config = None,
) -> None:
    """Copy the database; the bot may be running."""
    from bots import upkeep

    upkeep.back_up(config, file)
    typer.echo(f"wrote {file}")


@cli.command(epilog="Example: banter restore monday.db")
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `banter backup` wrote.")],
    config: flags.Config = None,
) -> None:
    """Put a backup in the place of the database, which is kept beside it; stop the bot first.

    Whoever was forgotten since the backup was made is forgotten in it too.
    """
    from bots import upkeep

    done = upkeep.restore(config, file)
    typer.echo(f"restored {file}" + (f"; what was there is {done.replaced} now" if done.replaced else ""))
    if done.num_forgotten:
        typer.echo(f"forgotten in it too: {done.num_forgotten} who asked for that after the backup was made")
    if not done.is_heeded:
        typer.echo("who was forgotten since could not be read; `banter forget` them again", err=True)


@cli.command(epilog="Example: banter migrate")
def migrate(config: flags.Config = None) -> None:
    """Bring the database up to date after an update, with a backup first; `banter run` does so by itself."""
    from bots import upkeep

    saved = upkeep.migrate(config)
    typer.echo("up to date" + (f"; the backup is {saved}" if saved else ""))


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]
