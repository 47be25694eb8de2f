"""The optimiser steps of a run, pass by pass: own sessions, replayed ones, shared out over the processes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from brain.finetune.batches import BatchPlan, Rows
from brain.finetune.config import TrainConfig
from brain.finetune.corpus import Encoded
from brain.finetune.replay import drawn_for_pass


@dataclass(frozen=True, slots=True)
class Step:
    """The micro-batches of one optimiser step that fall to one process.

    `index` counts within the pass; `num_tokens` is that of all processes together, padding not counted.
    """

    epoch: int
    index: int
    micro_batches: list[Rows]
    num_tokens: int


class Passes:
    """A pure function of (sessions, configuration, pass); the same whatever the number of processes.

    A global batch is `micro_per_step` micro-batches. One process with an accumulation of 2 and two processes
    without see the same global batches: what is missing in the last one of a pass is empty, not borrowed.
    """

    def __init__(self, own: Encoded, replay: Encoded, config: TrainConfig, batch_tokens: int) -> None:
        """Keep the encoded sessions, each already in reading order.

        Args:
            replay: the pool to draw from in every pass; may be empty.
            batch_tokens: of one micro-batch, padding included.
        Raises:
            DataError: there is nothing to train on.
        """
        BatchPlan(own, config.optim.row_lens, batch_tokens)  # refuses what has no loss
        self._own, self._replay, self._config, self._batch_tokens = own, replay, config, batch_tokens
        share = config.replay.share if replay else 0.0
        trained = sum(len(turn.ids) for turns in own for turn in turns if turn.weight)
        self._replay_tokens = trained * share / (1 - share)

    def micro_batches(self, epoch: int) -> list[Rows]:
        """All micro-batches of one pass, in order."""
        seed, optim = self._config.seed, self._config.optim
        drawn = drawn_for_pass(self._replay, self._replay_tokens, seed, epoch) if self._replay_tokens else []
        plan = BatchPlan([*self._own, *drawn], optim.row_lens, self._batch_tokens)
        return plan.epoch(seed, epoch, random_split=self._config.random_split)

    def steps_per_pass(self, micro_per_step: int) -> int:
        """Optimiser steps in the first pass; later ones may differ by one or two where sessions are drawn."""
        return math.ceil(len(self.micro_batches(0)) / micro_per_step)

    def steps(
        self, accumulation: int, rank: int, world_size: int, epoch: int = 0, skip: int = 0
    ) -> Iterator[Step]:
        """Yield the steps of one process without end, from step `skip` of pass `epoch` on."""
        size = accumulation * world_size
        while True:
            batches = self.micro_batches(epoch)
            for index in range(skip, math.ceil(len(batches) / size)):
                group = batches[index * size : (index + 1) * size]
                num_tokens = sum(rows.num_tokens for rows in group)
                yield Step(epoch, index, _share_of(group, accumulation, rank, world_size), num_tokens)
            epoch, skip = epoch + 1, 0


def _share_of(group: Sequence[Rows], accumulation: int, rank: int, world_size: int) -> list[Rows]:
    empty = Rows([], group[0].num_rows, group[0].row_len)
    places = range(rank, accumulation * world_size, world_size)
    return [group[place] if place < len(group) else empty for place in places]
