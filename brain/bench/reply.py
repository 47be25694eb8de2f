"""One chat at a time: the seconds that a whole reply takes, and each of its stages.

Each run has a prompt and a source of its own, drawn at random, so that nothing kept from a run before
helps.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from brain.bench.config import ReplyBenchConfig
from brain.bench.floor import Floor, Sizes, reply_floor
from brain.bench.ids import decoding_of_length, random_prompt, random_turn
from brain.bench.machine import measure_machine
from brain.bench.models import Pair, open_pair, require_room
from brain.bench.shape import Shape
from brain.bench.timing import Spread, Tell, no_garbage_collection, peak_mib, resident_mib, spread
from brain.config import BrainConfig
from brain.dialogue import Candidate
from brain.protocols import Span


@dataclass(frozen=True, slots=True)
class ReplyReport:
    """What `banter bench reply` tells.

    `stages` has the median seconds of each; `reverse` is null without MMI, and the model's own name when its
    weights stand in for a reverse model. `floor_s` is the least time this machine could take, `floor` how it
    came about, both null when they were not asked for, or the model is no GPT-2.
    """

    seconds: Spread
    stages: dict[str, float]
    dtype: str
    threads: int
    peak_mib: float
    loading_peak_mib: float
    loaded_mib: float
    floor_s: float | None
    floor: Floor | None
    model: str
    reverse: str | None
    device: str
    sizes: dict[str, Any]
    seed: int


class ReplyBench:
    """Whole replies, one after the other."""

    def __init__(self, config: BrainConfig, sizes: ReplyBenchConfig, seed: int, tell: Tell) -> None:
        """Load the models.

        Raises:
            CheckpointError, ConfigError: as `open_pair`, or the sizes do not fit the models' positions.
        """
        self._config, self._sizes, self._seed, self._tell = config, sizes, seed, tell
        self._pair = open_pair(config, with_mmi=True)
        self._memory = {"loading_peak_mib": round(peak_mib(), 1), "loaded_mib": round(resident_mib(), 1)}
        self._num_runs = 0
        require_reply_room(self._pair, sizes)

    async def warm_up(self) -> None:
        """One reply that does not count."""
        self._tell("warming up")
        await self._run_once()

    async def measure(self) -> ReplyReport:
        """Make the replies and, unless told not to, find this machine's floor for them."""
        runs = []
        for number in range(1, self._sizes.runs + 1):
            runs.append(await self._run_once())
            self._tell(f"reply {number} of {self._sizes.runs}: {sum(runs[-1].values()):.3f} s")
        peak = round(peak_mib(), 1)  # before the floor is looked for, which takes memory too
        floor = self._floor(self._pair.shape) if self._sizes.floor and self._pair.shape else None
        return ReplyReport(
            seconds=spread([sum(stages.values()) for stages in runs]),
            stages={name: statistics.median(stages[name] for stages in runs) for name in runs[0]},
            dtype=self._pair.dtype_name,
            threads=self._pair.threads,
            peak_mib=peak,
            **self._memory,
            floor_s=None if floor is None else floor.seconds,
            floor=floor,
            model=self._config.model,
            reverse=self._pair.reverse_name,
            device=str(self._pair.device),
            sizes=self._sizes.model_dump(exclude={"floor"}),
            seed=self._seed,
        )

    async def close(self) -> None:
        """Stop the engines."""
        await self._pair.close()

    async def _run_once(self) -> Mapping[str, float]:
        """Seconds per stage of one reply to a prompt never seen before."""
        self._num_runs += 1
        draw = Random(f"{self._seed} {self._num_runs}")
        with no_garbage_collection():
            return await timed_reply(self._pair, self._sizes, draw)

    def _floor(self, shape: Shape) -> Floor:
        dtype, with_mmi = self._pair.dtype, self._pair.reverse is not None
        machine = measure_machine(shape, dtype, self._pair.device)
        return reply_floor(machine, shape, dtype.itemsize, self._sizes, with_mmi=with_mmi)


async def timed_reply(pair: Pair, sizes: Sizes, draw: Random, lora: str | None = None) -> dict[str, float]:
    """Make one reply to a random prompt.

    Args:
        lora: the weights of the character that speaks.
    Returns:
        The seconds of each stage, in order: "prefill" as the engine tells it, which is meaningless when other
        chats are answered meanwhile, "generate" for the rest of the candidates, and "mmi". Their sum is the
        reply's wall time.
    """
    prompt = random_prompt(pair.encoder, sizes.history, draw)
    source = random_turn(pair.encoder, sizes.source, draw)
    decoding = decoding_of_length(sizes.candidates, sizes.new_tokens)
    stages = {}

    started, prefill = time.perf_counter(), pair.prefill_s
    candidates = await pair.forward.generate(prompt, decoding, draw.getrandbits(32), lora=lora)
    seconds, stages["prefill"] = time.perf_counter() - started, pair.prefill_s - prefill
    stages["generate"] = seconds - stages["prefill"]
    assert all(len(candidate.ids) == sizes.new_tokens for candidate in candidates)

    if pair.reverse is not None:
        started = time.perf_counter()
        await pair.reverse.score(_spans(candidates, source, pair.encoder.end_id))
        stages["mmi"] = time.perf_counter() - started
    return stages


def require_reply_room(pair: Pair, sizes: Sizes) -> None:
    """Refuse sizes that do not fit. Raises ConfigError."""
    what = f"history {sizes.history} and new tokens {sizes.new_tokens}"
    require_room(sizes.history + sizes.new_tokens, what, pair.forward.max_positions)
    if pair.reverse is not None:
        what = f"new tokens {sizes.new_tokens}, their end and source {sizes.source}"
        require_room(sizes.new_tokens + 1 + sizes.source, what, pair.reverse.max_positions)


def _spans(candidates: Sequence[Candidate], source: tuple[int, ...], end_id: int) -> list[Span]:
    return [Span((*candidate.ids, end_id), source) for candidate in candidates]
