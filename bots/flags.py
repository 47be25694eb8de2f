"""Flags that several commands share, and the keys of config.toml they stand for."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings; default: config.toml, if there is one."),
]
PersonaName = Annotated[
    str | None, typer.Option("--persona", metavar="NAME", help="Who speaks; see `banter persona list`.")
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="M", help="starter, a hub id, a folder, or a .pkl of the original release."
    ),
]
Reverse = Annotated[
    str | None, typer.Option("--reverse", metavar="M", help="Reverse model for MMI: auto, none or a model.")
]
Decoding = Annotated[
    Literal["greedy", "sample", "beam", "mmi"] | None,
    typer.Option("--decoding", help="How replies are made."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="Repeat a run: the same seed, the same replies.")
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"] | None,
    typer.Option("--dtype", help="Precision of weights and arithmetic."),
]
NumThreads = Annotated[
    int | None,
    typer.Option("--num-threads", metavar="N", help="Threads of the processor; 0 = what torch finds."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON lines in and out; so far the only form.")]


def by_key(**values: object) -> dict[str, object]:
    """What was given on the command line, by dotted key of config.toml; None where a flag was not given."""
    keys = {
        "persona": "persona",
        "seed": "seed",
        "model": "brain.model",
        "reverse": "brain.reverse",
        "decoding": "brain.decoding.method",
        "dtype": "brain.dtype",
        "num_threads": "brain.num_threads",
    }
    return {keys[name]: value for name, value in values.items()}
