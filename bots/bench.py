"""`banter bench reply | serve | train`: how fast this machine talks and learns."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from bots import flags

if TYPE_CHECKING:
    from bots.settings import Settings
    from brain.bench.timing import Tell

cli = typer.Typer(help="How fast it is here: reply, serve, train.", rich_markup_mode=None)

History = Annotated[int | None, typer.Option("--history", metavar="N", help="Tokens of each prompt.")]
Candidates = Annotated[int | None, typer.Option("--candidates", metavar="N", help="Drawn for each reply.")]
NewTokens = Annotated[
    int | None, typer.Option("--new-tokens", metavar="N", help="Tokens of each candidate; none ends early.")
]
Source = Annotated[
    int | None, typer.Option("--source", metavar="N", help="Tokens that MMI scores for each candidate.")
]
Runs = Annotated[int | None, typer.Option("--runs", metavar="N", help="How often; one more does not count.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object and nothing else on stdout.")]
EachLine = Annotated[
    bool,
    typer.Option("--each-line", help="Measure once per line on stdin, for scripts that alternate programs."),
]


class Bench(Protocol):
    """What all three have in common; making one loads the model."""

    async def warm_up(self) -> None:
        """Work that does not count."""

    async def measure(self) -> Any:
        """Work that counts; a report as a dataclass."""

    async def close(self) -> None:
        """Let go of the model."""


@cli.command(epilog="Example: banter bench reply --model microsoft/DialoGPT-medium --json")
def reply(
    model: flags.Model = None,
    reverse: flags.Reverse = None,
    history: History = None,
    candidates: Candidates = None,
    new_tokens: NewTokens = None,
    source: Source = None,
    runs: Runs = None,
    floor: Annotated[
        bool | None,
        typer.Option("--floor/--no-floor", help="Also tell the least time this machine could take."),
    ] = None,
    dtype: flags.Dtype = None,
    num_threads: flags.NumThreads = None,
    seed: flags.Seed = None,
    as_json: Json = False,
    each_line: EachLine = False,
    config: flags.Config = None,
) -> None:
    """Seconds of a whole reply with MMI.

    At exactly the sizes given, on random tokens, a fresh prompt for each run; a folder with config.json and
    weights will do. Without a reverse model the same weights stand in for it; --reverse none leaves MMI out.

    Out: seconds (median, min, max), stages (median seconds of each), dtype, threads, peak_mib, floor_s.
    """
    models = flags.by_key(model=model, reverse=reverse, dtype=dtype, num_threads=num_threads, seed=seed)
    sizes = _sizes(history, candidates, new_tokens, source)
    given = models | _keys("reply", {**sizes, "runs": runs, "floor": floor})

    def open_bench(settings: "Settings", tell: "Tell") -> Bench:
        from brain.bench.reply import ReplyBench

        return ReplyBench(settings.brain, settings.bench.reply, settings.seed or 0, tell)

    _work(config, given, open_bench, as_json=as_json, each_line=each_line)


@cli.command(epilog="Example: banter bench serve --chats 64 --candidates 16 --arrivals poisson --json")
def serve(
    model: flags.Model = None,
    reverse: flags.Reverse = None,
    chats: Annotated[
        int | None, typer.Option("--chats", metavar="N", help="Chats that want replies in each run.")
    ] = None,
    turns: Annotated[
        int | None, typer.Option("--turns", metavar="N", help="Turns of each chat, one after the other.")
    ] = None,
    candidates: Candidates = None,
    history: History = None,
    new_tokens: NewTokens = None,
    source: Source = None,
    mmi: Annotated[
        bool | None,
        typer.Option("--mmi/--no-mmi", help="Default: when there is more than one candidate."),
    ] = None,
    arrivals: Annotated[
        Literal["at-once", "poisson"] | None,
        typer.Option("--arrivals", help="All at the same moment, or at random times."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", metavar="R", help="poisson: turns per second; 0 = twice what at-once can answer."
        ),
    ] = None,
    runs: Runs = None,
    dtype: flags.Dtype = None,
    num_threads: flags.NumThreads = None,
    seed: flags.Seed = None,
    as_json: Json = False,
    each_line: EachLine = False,
    config: flags.Config = None,
) -> None:
    """Replies per second for many chats.

    Out: replies_per_s (median of the runs, from the first arrival to the last reply), spread, latency_s
    (median, p95; from a chat's arrival to its whole reply).
    """
    models = flags.by_key(model=model, reverse=reverse, dtype=dtype, num_threads=num_threads, seed=seed)
    sizes = _sizes(history, candidates, new_tokens, source)
    how = {"chats": chats, "turns": turns, "runs": runs, "mmi": mmi, "arrivals": arrivals, "rate": rate}
    given = models | _keys("serve", {**sizes, **how})

    def open_bench(settings: "Settings", tell: "Tell") -> Bench:
        from brain.bench.serve import ServeBench

        return ServeBench(settings.brain, settings.bench.serve, settings.seed or 0, tell)

    _work(config, given, open_bench, as_json=as_json, each_line=each_line)


@cli.command(epilog="Example: banter bench train --model starter --steps 20 --json")
def train(
    model: flags.Model = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Optimiser steps; two more do not count.")
    ] = None,
    row_len: Annotated[
        int | None, typer.Option("--row-len", metavar="N", help="Tokens of each packed row.")
    ] = None,
    batch_tokens: Annotated[
        int | None, typer.Option("--batch-tokens", metavar="N", help="Tokens of each step, padding included.")
    ] = None,
    num_threads: flags.NumThreads = None,
    seed: flags.Seed = None,
    as_json: Json = False,
    each_line: EachLine = False,
    config: flags.Config = None,
) -> None:
    """Real tokens per second of `banter finetune`'s own step, on random dialogues.

    Learning rates, precision and optimiser are those of [finetune.optim] in config.toml.

    Out: tokens_per_s (padding not counted), spread, real_share.
    """
    given = flags.by_key(model=model, num_threads=num_threads, seed=seed)
    given |= _keys("train", {"steps": steps, "row_len": row_len, "batch_tokens": batch_tokens})

    def open_bench(settings: "Settings", tell: "Tell") -> Bench:
        from brain.bench.train import TrainBench

        optim = settings.finetune.optim
        return TrainBench(settings.brain, optim, settings.bench.train, settings.seed or 0, tell)

    _work(config, given, open_bench, as_json=as_json, each_line=each_line)


def _sizes(
    history: int | None, candidates: int | None, new_tokens: int | None, source: int | None
) -> dict[str, object]:
    """What a reply is made of, alone or among others."""
    return {"history": history, "candidates": candidates, "new_tokens": new_tokens, "source": source}


def _keys(verb: str, values: dict[str, Any]) -> dict[str, object]:
    return {f"bench.{verb}.{name}": value for name, value in values.items()}


def _work(
    file: Path | None,
    given: dict[str, object],
    open_bench: Callable[["Settings", "Tell"], Bench],
    *,
    as_json: bool,
    each_line: bool,
) -> None:
    """Read the settings, load the model, measure once or once per line, and print."""
    import asyncio

    from bots import settings

    loaded = settings.load(file, given)
    if sys.stderr.isatty():
        _tell(f"loading {loaded.brain.model}")
    bench = open_bench(loaded, _tell)

    async def run() -> None:
        try:
            await bench.warm_up()
            await _measure(bench, loaded.lines.max_line_bytes if each_line else None, as_json)
        finally:
            await bench.close()

    asyncio.run(run())


async def _measure(bench: Bench, max_line_bytes: int | None, as_json: bool) -> None:
    import json
    from contextlib import aclosing
    from dataclasses import asdict

    from bots import feed

    async def once() -> None:
        report = asdict(await bench.measure())
        text = json.dumps(report) if as_json else "\n".join(_lines(report))
        typer.echo(text)

    if max_line_bytes is None:
        await once()
        return
    async with aclosing(feed.lines(0, max_line_bytes)) as received:
        async for _ in received:
            await once()


def _lines(report: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """For people: one value per line, under its dotted name."""
    for name, value in report.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}: {value:.4g}" if isinstance(value, float) else f"{prefix}{name}: {value}"


def _tell(text: str) -> None:
    typer.echo(f"bench: {text}", err=True)
