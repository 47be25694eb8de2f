"""Many chats at once: replies per second, and how long each waits for its own.

Each chat says something of its own, drawn at random, once or several times, but never before it has its
answer. They come all at the same moment, or at random times with independent gaps (a Poisson process).
"""

import asyncio
import statistics
import time
from dataclasses import dataclass
from random import Random
from typing import Any

from brain.bench.config import ServeBenchConfig
from brain.bench.models import open_pair
from brain.bench.reply import require_reply_room, timed_reply
from brain.bench.timing import Spread, Tell, no_garbage_collection, peak_mib, percentile_95, spread
from brain.config import BrainConfig

OVERLOAD = 2.0  # arrivals per second over replies per second, when nobody says how many come


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a turn's arrival to its whole reply, over all chats of all runs."""

    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class ServeReport:
    """What `banter bench serve` tells; `replies_per_s` is the median of the runs, `spread` all about them.

    `offered_per_s` is the rate of a Poisson process of arrivals, null when all come at once.
    """

    replies_per_s: float
    spread: Spread
    latency_s: Latency
    offered_per_s: float | None
    dtype: str
    threads: int
    peak_mib: float
    model: str
    reverse: str | None
    device: str
    sizes: dict[str, Any]
    seed: int


@dataclass(frozen=True, slots=True)
class _Run:
    replies_per_s: float  # from the first arrival to the last reply
    latencies: list[float]


class ServeBench:
    """Rounds of chats, each answered once per round.

    Random arrivals come by default at OVERLOAD times the rate at which one round that came at once was
    answered: so somebody always waits, and what is lost against that is lost by the engine, not by idle time.
    """

    def __init__(self, config: BrainConfig, sizes: ServeBenchConfig, seed: int, tell: Tell) -> None:
        """Load the models.

        Raises:
            CheckpointError, ConfigError: as `open_pair`, or the sizes do not fit the models' positions.
        """
        self._config, self._sizes, self._seed, self._tell = config, sizes, seed, tell
        with_mmi = sizes.candidates > 1 if sizes.mmi is None else sizes.mmi
        self._pair = open_pair(config, with_mmi=with_mmi)
        self._rate: float | None = None
        self._num_runs = 0
        require_reply_room(self._pair, sizes)

    async def warm_up(self) -> None:
        """A round that does not count, and one more to set the rate of random arrivals."""
        self._tell("warming up")
        await self._run_once()
        if self._sizes.arrivals == "poisson":
            self._rate = self._sizes.rate or OVERLOAD * (await self._run_once()).replies_per_s

    async def measure(self) -> ServeReport:
        """Answer the chats."""
        runs = []
        for number in range(1, self._sizes.runs + 1):
            runs.append(await self._run_once())
            self._tell(f"round {number} of {self._sizes.runs}: {runs[-1].replies_per_s:.2f} replies/s")
        latencies = [latency for run in runs for latency in run.latencies]
        rates = spread([run.replies_per_s for run in runs])
        return ServeReport(
            replies_per_s=rates.median,
            spread=rates,
            latency_s=Latency(statistics.median(latencies), percentile_95(latencies)),
            offered_per_s=self._rate,
            dtype=self._pair.dtype_name,
            threads=self._pair.threads,
            peak_mib=round(peak_mib(), 1),
            model=self._config.model,
            reverse=self._pair.reverse_name,
            device=str(self._pair.device),
            sizes=self._sizes.model_dump(exclude={"mmi", "rate"}),
            seed=self._seed,
        )

    async def close(self) -> None:
        """Stop the engines."""
        await self._pair.close()

    async def _run_once(self) -> _Run:
        self._num_runs += 1
        draw = Random(f"{self._seed} {self._num_runs}")
        arrivals = self._arrivals(draw)
        with no_garbage_collection():
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._chat([started + after for after in mine], draw.getrandbits(64)))
                    for mine in arrivals
                ]
            seconds = time.perf_counter() - started
        latencies = [latency for task in tasks for latency in task.result()]
        return _Run(len(latencies) / seconds, latencies)

    def _arrivals(self, draw: Random) -> list[list[float]]:
        """Seconds after the start at which the turns of each chat come, the very first at once."""
        chats: list[list[float]] = [[] for _ in range(self._sizes.chats)]
        after = -1.0
        for _ in range(self._sizes.turns):
            for chat in draw.sample(chats, len(chats)):
                after = 0.0 if after < 0 else after + (draw.expovariate(self._rate) if self._rate else 0.0)
                chat.append(after)
        return chats

    async def _chat(self, arrivals: list[float], seed: int) -> list[float]:
        """Come at each of `arrivals`, readings of time.perf_counter, or when the turn before is answered.

        Returns:
            The seconds from each coming to its reply.
        """
        draw, done, latencies = Random(seed), arrivals[0], []
        for arrival in arrivals:
            came = max(arrival, done)
            await asyncio.sleep(max(0.0, came - time.perf_counter()))
            await timed_reply(self._pair, self._sizes, draw)
            done = time.perf_counter()
            latencies.append(done - came)
        return latencies
