"""The commands; each imports its work inside its body, so that --help stays fast."""

import os
import sys
from typing import Annotated

import typer

from bots import bench, data, flags, operations, training
from brain.threads import wait_briefly

cli = typer.Typer(
    name="banter",
    help="A chat bot with a character of its own, on your own machine.",
    epilog="Begin with: banter chat",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
personas = typer.Typer(help="Characters: list, show, new.", rich_markup_mode=None)
cli.add_typer(personas, name="persona")
cli.add_typer(data.cli)  # import
cli.add_typer(operations.cli)  # run, init, doctor and the rest, beside chat
cli.add_typer(training.cli)  # finetune
cli.add_typer(bench.cli, name="bench")


@cli.command(epilog='Example: echo "Hello there" | banter chat --plain')
def chat(
    persona: flags.PersonaName = None,
    model: flags.Model = None,
    reverse: flags.Reverse = None,
    decoding: flags.Decoding = None,
    seed: flags.Seed = None,
    plain: Annotated[
        bool | None, typer.Option("--plain/--no-plain", help="One line out for each line in, nothing else.")
    ] = None,
    config: flags.Config = None,
) -> None:
    """Talk with the bot.

    On a terminal: a prompt with history and slash commands; /help lists them. With --plain, or when input or
    output is not a terminal: each line in gets exactly one line out, the reply, and slash commands are plain
    text. An empty line is answered with a line of the character's that asks for more.
    """
    from bots import app

    given = flags.by_key(persona=persona, model=model, reverse=reverse, decoding=decoding, seed=seed)
    app.work(config, given | {"chat.plain": plain}, app.chat)


@cli.command(epilog='Example: banter selfplay "Hello there" --turns 6 --seed 1')
def selfplay(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The opening turn.")],
    turns: Annotated[
        int | None, typer.Option("--turns", metavar="N", help="Lines in all, the opening included.")
    ] = None,
    persona: flags.PersonaName = None,
    model: flags.Model = None,
    reverse: flags.Reverse = None,
    decoding: flags.Decoding = None,
    seed: flags.Seed = None,
    plain: Annotated[
        bool | None, typer.Option("--plain/--no-plain", help="Bare turns, without the speakers' numbers.")
    ] = None,
    config: flags.Config = None,
) -> None:
    """Let the bot talk with itself.

    One line per turn, N in all; TEXT is the first.
    """
    from bots import app

    given = flags.by_key(persona=persona, model=model, reverse=reverse, decoding=decoding, seed=seed)
    app.work(config, given | {"selfplay.turns": turns, "selfplay.plain": plain}, app.self_play(text))


@cli.command(epilog="""Example: echo '{"turns": ["Hello there"]}' | banter reply --json""")
def reply(
    persona: flags.PersonaName = None,
    model: flags.Model = None,
    reverse: flags.Reverse = None,
    decoding: flags.Decoding = None,
    seed: flags.Seed = None,
    as_json: flags.Json = True,
    config: flags.Config = None,
) -> None:
    """Answer conversations, JSON lines in and out.

    One object per line in, one per line out, in the same order; many are answered together.

    In: {"turns": [str, ...], "persona"?: str, "seed"?: int, "decoding"?: {...}}; the last turn is answered.
    Out: text, chosen (-1 for a fallback line), candidates, turns_used, prompt_tokens, seed, seconds; or
    {"error": str} for a line that cannot be answered, and the rest go on.
    """
    from bots import app

    given = flags.by_key(persona=persona, model=model, reverse=reverse, decoding=decoding, seed=seed)
    app.work(config, given, app.json_lines("reply"))


@cli.command(epilog="""Example: echo '{"turns": ["Hi"], "response": "Hello!"}' | banter score --json""")
def score(
    model: flags.Model = None,
    reverse: flags.Reverse = None,
    as_json: flags.Json = True,
    config: flags.Config = None,
) -> None:
    """Score given responses, JSON lines in and out.

    In: {"turns": [str, ...], "response": str}. Out: forward, log P(response + end | turns), and reverse,
    log P(turns newest first, each with its end | response), natural logs summed over forward_tokens and
    reverse_tokens; reverse is null without a reverse model.
    """
    from bots import app

    app.work(config, flags.by_key(model=model, reverse=reverse), app.json_lines("score"))


@personas.command("list", epilog="Example: banter persona list")
def persona_list(config: flags.Config = None) -> None:
    """One character per line: folder, name, description, separated by tabs."""
    from bots import characters, settings
    from brain.persona import list_personas

    for persona in list_personas(settings.load(config).persona_root):
        typer.echo(characters.summary(persona))


@personas.command("show", epilog="Example: banter persona show lighthouse")
def persona_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Folder or name of the character.")],
    config: flags.Config = None,
) -> None:
    """All about one character."""
    from bots import characters, settings
    from brain.persona import find_persona

    typer.echo(characters.sheet(find_persona(name, settings.load(config).persona_root)))


@personas.command("new", epilog="Example: banter persona new old-sailor")
def persona_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its folder: a-z, 0-9, - and _.")],
    config: flags.Config = None,
) -> None:
    """Begin a character: writes a commented persona.toml to edit."""
    from bots import characters, settings

    typer.echo(characters.create(name, settings.load(config).persona_root))


def main() -> int:
    """Run the command line; the one place where an error becomes an exit code and one line on stderr."""
    args = sys.argv[1:] or ["--help"]
    wait_briefly()
    try:
        code = typer.main.get_command(cli).main(args, prog_name="banter", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if sys.flags.dev_mode:  # python -X dev -m bots: with the traceback
            raise
        return _exit_code(error)


def _exit_code(error: Exception) -> int:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BrokenPipeError):  # whoever read has left; nothing more can be said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    from brain.encoding import clean_turn  # names in files of others may steer the terminal

    sentence, code = _judged(error)
    print("banter:", clean_turn(sentence), file=sys.stderr)
    return code


def _judged(error: Exception) -> tuple[str, int]:
    """The sentence for a person and the exit code: 2 for usage and configuration, 1 for the rest."""
    if isinstance(error, typer.TyperException):
        return error.format_message(), error.exit_code
    from bots.errors import BotError
    from brain.errors import BrainError, CheckpointError, ConfigError, PersonaError

    if isinstance(error, BotError):
        return str(error), error.exit_code
    if isinstance(error, BrainError):
        return str(error), 2 if isinstance(error, (ConfigError, CheckpointError, PersonaError)) else 1
    return f"{type(error).__name__}: {error}; `python -X dev -m bots …` shows where", 1
