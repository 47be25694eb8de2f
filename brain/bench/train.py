"""How fast the recipe learns: real tokens per second of its own optimiser step, on random dialogues."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

from brain.bench.config import TrainBenchConfig
from brain.bench.ids import IdsEncoder, random_turn
from brain.bench.models import ids_encoder, read_to_train, require_room, use_threads
from brain.bench.timing import Spread, Tell, no_garbage_collection, peak_mib, spread
from brain.config import BrainConfig
from brain.finetune.batches import BatchPlan, Rows
from brain.finetune.config import OptimConfig
from brain.finetune.examples import EncodedTurn
from brain.finetune.masters import MasterWeights
from brain.finetune.models import make_trainable
from brain.finetune.optim import optimizers_for
from brain.finetune.train import DialogueLoss, accelerator_for, optimizer_step, precision_of

TURNS = (2, 8)  # of a dialogue, fewest and most
TURN_LEN = (3, 30)  # of a turn with its end token
WARM_UP_STEPS = 2


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What `banter bench train` tells.

    `tokens_per_s` counts real tokens, not padding: all of them over all seconds. `spread` is that of the
    steps, `real_share` the part of the rows that is no padding.
    """

    tokens_per_s: float
    spread: Spread
    real_share: float
    precision: str
    threads: int
    peak_mib: float
    model: str
    device: str
    sizes: dict[str, Any]
    seed: int


class TrainBench:
    """Optimiser steps of the recipe from a model's weights; what is learnt is thrown away."""

    def __init__(
        self, config: BrainConfig, optim: OptimConfig, sizes: TrainBenchConfig, seed: int, tell: Tell
    ) -> None:
        """Load the model in float32 and prepare as `brain.finetune.train.run` does.

        Raises:
            CheckpointError: the model cannot be found, read or trusted.
            ConfigError: the rows are longer than the model's positions.
        """
        self._name, self._optim, self._sizes, self._seed, self._tell = config.model, optim, sizes, seed, tell
        self._threads = use_threads(config.num_threads)
        model = read_to_train(config.model)
        require_room(sizes.row_len, f"row length {sizes.row_len}", model.config.n_positions)
        make_trainable(model, optim)
        self._batches = _batches(ids_encoder(model.config.vocab_size), sizes, Random(seed))
        self._accelerator = accelerator_for(optim)
        loss = DialogueLoss(model)
        self._masters = MasterWeights(loss) if precision_of(optim) == "bf16" else None
        optimizers = optimizers_for(self._masters or loss, optim)
        self._prepared, *self._optimizers = self._accelerator.prepare(loss, *optimizers)
        self._prepared.train()

    async def warm_up(self) -> None:
        """A few steps that do not count."""
        self._tell("warming up")
        for _ in range(WARM_UP_STEPS):
            await asyncio.to_thread(self._step)

    async def measure(self) -> TrainReport:
        """Take the steps."""
        steps = []
        for number in range(1, self._sizes.steps + 1):
            steps.append(await asyncio.to_thread(self._step))
            num_tokens, seconds = steps[-1]
            self._tell(f"step {number} of {self._sizes.steps}: {num_tokens / seconds:,.0f} tokens/s")
        num_tokens = sum(tokens for tokens, _ in steps)
        return TrainReport(
            tokens_per_s=num_tokens / sum(seconds for _, seconds in steps),
            spread=spread([tokens / seconds for tokens, seconds in steps]),
            real_share=num_tokens / (len(steps) * _rows_per_batch(self._sizes) * self._sizes.row_len),
            precision=precision_of(self._optim),
            threads=self._threads,
            peak_mib=round(peak_mib(), 1),
            model=self._name,
            device=str(self._accelerator.device),
            sizes=self._sizes.model_dump(),
            seed=self._seed,
        )

    async def close(self) -> None:
        """Nothing is held open."""

    def _step(self) -> tuple[int, float]:
        """Real tokens and seconds of one optimiser step, laying its batch into tensors included."""
        rows = next(self._batches)
        use_threads(self._threads)  # torch counts them per thread
        with no_garbage_collection():
            started = time.perf_counter()
            batch = rows.collate().to(self._accelerator.device)
            optimizer_step(
                self._accelerator,
                self._prepared,
                self._optimizers,
                [batch],
                self._optim.clip_norm,
                self._masters,
            )
            return batch.num_tokens, time.perf_counter() - started


def _batches(encoder: IdsEncoder, sizes: TrainBenchConfig, draw: Random) -> Iterator[Rows]:
    """Packed batches without end; every token but a dialogue's first turn carries loss."""
    wanted = sizes.batch_tokens * (sizes.steps + WARM_UP_STEPS)
    dialogues: list[list[EncodedTurn]] = []
    num_tokens = 0
    while num_tokens < wanted:
        lens = [draw.randint(*TURN_LEN) for _ in range(draw.randint(*TURNS))]
        turns = [EncodedTurn(list(random_turn(encoder, length, draw)), 1.0, 0) for length in lens]
        dialogues.append([EncodedTurn(turns[0].ids, 0.0, 0), *turns[1:]])
        num_tokens += sum(lens)
    batches = BatchPlan(dialogues, (sizes.row_len,), sizes.batch_tokens).epoch(0, 0)
    full = [rows for rows in batches if len(rows.rows) == rows.num_rows]
    return cycle(full or batches)


def _rows_per_batch(sizes: TrainBenchConfig) -> int:
    return max(1, sizes.batch_tokens // sizes.row_len)
