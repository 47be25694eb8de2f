"""Sizes of the benchmarks; lengths in tokens, counts per run."""

from typing import Annotated, Literal

from pydantic import Field

from brain.config import Options

_FromOne = Annotated[int, Field(ge=1, le=2**20)]
_Candidates = Annotated[int, Field(ge=1, le=256)]  # as many as DecodingConfig allows


class ReplyBenchConfig(Options):
    """`banter bench reply`: one chat at a time; the defaults are those of docs/performance.md."""

    history: _FromOne = 128  # of the prompt
    candidates: _Candidates = 16
    new_tokens: _FromOne = 20  # of each candidate; none ends early
    source: _FromOne = 30  # what MMI scores under the reverse model
    runs: _FromOne = 5
    floor: bool = True  # also measure the machine and tell the least time it could take


class ServeBenchConfig(Options):
    """`banter bench serve`: many chats in one batch."""

    chats: _FromOne = 16
    turns: _FromOne = 1  # that each chat says in a run, the next one not before the last is answered
    candidates: _Candidates = 1
    history: _FromOne = 128
    new_tokens: _FromOne = 20
    source: _FromOne = 30
    mmi: bool | None = None  # None = when there is more than one candidate
    arrivals: Literal["at-once", "poisson"] = "at-once"
    rate: Annotated[float, Field(ge=0, le=1e6)] = 0.0  # poisson: turns per second; 0 = see `ServeBench`
    runs: _FromOne = 3


class TrainBenchConfig(Options):
    """`banter bench train`: steps of the recipe; everything else stands in [finetune.optim]."""

    row_len: Annotated[int, Field(ge=32, le=2**20)] = 256
    batch_tokens: Annotated[int, Field(ge=32, le=2**24)] = 2048  # per step, padding included
    steps: _FromOne = 5


class BenchConfig(Options):
    """Section [bench] of config.toml."""

    reply: ReplyBenchConfig = ReplyBenchConfig()
    serve: ServeBenchConfig = ServeBenchConfig()
    train: TrainBenchConfig = TrainBenchConfig()
