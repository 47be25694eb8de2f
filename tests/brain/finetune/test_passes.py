"""Steps are the same whatever the number of processes, and replay is its share of each pass."""

import random
from itertools import islice
from pathlib import Path

import pytest

from brain.finetune.batches import Rows
from brain.finetune.config import TrainConfig
from brain.finetune.examples import EncodedTurn
from brain.finetune.passes import Passes, Step

OPTIM = {"row_lens": [32, 64], "batch_tokens": 128}


def sessions(num: int, seed: int = 0) -> list[list[EncodedTurn]]:
    draw = random.Random(seed)
    return [
        [
            EncodedTurn([draw.randrange(1, 50) for _ in range(draw.randrange(2, 9))], 1.0, 5)
            for _ in range(draw.randrange(2, 8))
        ]
        for _ in range(num)
    ]


def passes(own: int = 41, replay: int = 0, share: float = 0.0) -> Passes:
    values = {"data": ["x"], "out": Path("x"), "base": "starter", "optim": OPTIM, "replay": {"share": share}}
    return Passes(sessions(own), sessions(replay, seed=1), TrainConfig.parse(values, "test"), 128)


def steps(of: Passes, accumulation: int, rank: int, world_size: int, count: int) -> list[Step]:
    return list(islice(of.steps(accumulation, rank, world_size), count))


@pytest.mark.parametrize("own", [1, 40, 41, 43])
def test_two_processes_see_what_one_with_accumulation_sees(own: int) -> None:
    count = 3 * passes(own).steps_per_pass(2)

    alone = steps(passes(own), 2, 0, 1, count)
    ranks = [steps(passes(own), 1, rank, 2, count) for rank in (0, 1)]

    for one, first, second in zip(alone, *ranks, strict=True):
        assert one.micro_batches == [*first.micro_batches, *second.micro_batches]
        assert one.num_tokens == first.num_tokens == second.num_tokens
        assert (one.epoch, one.index) == (first.epoch, first.index)


def test_every_window_is_seen_once_in_a_pass() -> None:
    own = passes(41)
    per_pass = own.steps_per_pass(3)

    seen = [rows for step in steps(own, 3, 0, 1, per_pass) for rows in step.micro_batches if rows.rows]

    assert seen == own.micro_batches(0)


def test_steps_go_on_where_they_stopped() -> None:
    straight = steps(passes(), 2, 0, 1, 40)
    stop = straight[25]

    resumed = list(islice(passes().steps(2, 0, 1, stop.epoch, stop.index), 15))

    assert resumed == straight[25:]


def test_replay_takes_its_share_and_changes_from_pass_to_pass() -> None:
    own, mixed = passes(), passes(replay=200, share=0.4)

    alone, first, second = own.micro_batches(0), mixed.micro_batches(0), mixed.micro_batches(1)

    share = 1 - _tokens(alone) / _tokens(first)
    assert share == pytest.approx(0.4, abs=0.03)
    assert first == mixed.micro_batches(0)
    assert _windows(first) != _windows(second)


def _tokens(batches: list[Rows]) -> int:
    return sum(rows.num_tokens for rows in batches)


def _windows(batches: list[Rows]) -> list[list[int]]:
    return sorted(piece.ids for rows in batches for row in rows.rows for piece in row)
