"""banter finetune: the command; the work is imported inside its body."""

from pathlib import Path
from typing import Annotated

import typer

from bots import flags

cli = typer.Typer(rich_markup_mode=None)

Files = list[str] | None
Data = Annotated[
    Files, typer.Option("--data", metavar="F", help="sessions.jsonl, F@0.1 = a tenth of it; may be repeated.")
]
MoreData = Annotated[Files, typer.Argument(metavar="[F]...", help="Further data files.", show_default=False)]
Dev = Annotated[Files, typer.Option("--dev", metavar="F", help="Held-out data to keep the best weights by.")]
General = Annotated[
    Files, typer.Option("--general", metavar="F", help="General talk, to tell what was forgotten.")
]
Speaker = Annotated[
    str | None, typer.Option("--speaker", metavar="NAME", help="Only this speaker's turns are learnt.")
]
Base = Annotated[str | None, typer.Option("--base", metavar="M", help="The model to go on from.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The folder of the run.")]
Lora = Annotated[
    bool | None, typer.Option("--lora/--full", help="Low-rank weights, or all of them.", show_default=False)
]
Reverse = Annotated[
    bool | None, typer.Option("--reverse", help="Learn P(history | response), for MMI.", show_default=False)
]
Scratch = Annotated[
    Path | None,
    typer.Option("--scratch", metavar="CONFIG", help="From nothing: a recipe with a [scratch] section."),
]
Preset = Annotated[
    str | None, typer.Option("--preset", metavar="NAME", help="laptop, gpu or paper: a recipe in the box.")
]
Recipe = Annotated[
    Path | None, typer.Option("--recipe", metavar="CONFIG", help="A recipe, when going on from --base.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last resume point in --out.")]


@cli.command(
    epilog="Example: banter finetune --data chats.jsonl --base starter --preset laptop --out runs/mine"
)
def finetune(
    data: Data = None,
    more_data: MoreData = None,
    dev: Dev = None,
    general: General = None,
    speaker: Speaker = None,
    base: Base = None,
    out: Out = None,
    lora: Lora = None,
    reverse: Reverse = None,
    scratch: Scratch = None,
    preset: Preset = None,
    recipe: Recipe = None,
    resume: Resume = False,
    seed: flags.Seed = None,
    config: flags.Config = None,
) -> None:
    """Train a model on dialogues.

    Writes DIR/model (the best weights), DIR/metrics.jsonl, DIR/run.json, DIR/loss.png, DIR/memorisation.json
    and DIR/state, from which --resume goes on after a stop. DIR is a model then: banter chat --model DIR.
    Runs under `accelerate launch` and `torchrun` unchanged.
    """
    from bots import finetune as work
    from bots import settings

    files = [*(data or ()), *(more_data or ())]
    given = {"data": files, "dev": dev, "general": general, "speaker": speaker, "base": base, "out": out}
    run = work.train_config(
        settings.load(config),
        scratch or recipe,
        {**given, "lora": lora, "reverse": reverse, "resume": resume, "seed": seed},
        scratch is not None,
        preset,
    )
    typer.echo(work.train(run))
