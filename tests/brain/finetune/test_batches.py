"""Packing: nothing lost, little padding, and no window sees its neighbour in the row."""

import random

import pytest
import torch

from brain.errors import DataError
from brain.finetune.batches import BatchPlan, collate, pack
from brain.finetune.examples import EncodedTurn, Window
from brain.finetune.train import DialogueLoss
from brain.testing import tiny_encoder, tiny_gpt2


def window(*ids: int) -> Window:
    return Window(list(ids), [0.0] + [1.0] * (len(ids) - 1), len(ids))


def sessions(num: int, seed: int = 0) -> list[list[EncodedTurn]]:
    draw = random.Random(seed)
    return [
        [
            EncodedTurn([draw.randrange(1, 50) for _ in range(draw.randrange(2, 9))], 1.0, 5)
            for _ in range(draw.randrange(2, 8))
        ]
        for _ in range(num)
    ]


def test_packing_keeps_every_window_within_its_row() -> None:
    draw = random.Random(1)
    pieces = [window(*range(draw.randrange(2, 33))) for _ in range(200)]

    rows = pack(pieces, [16, 32])

    packed = [piece for of_len in rows.values() for row in of_len for piece in row]
    assert sorted(len(piece.ids) for piece in packed) == sorted(len(piece.ids) for piece in pieces)
    assert all(sum(len(p.ids) for p in row) <= row_len for row_len, of_len in rows.items() for row in of_len)
    num_real = sum(len(piece.ids) for piece in pieces)
    assert num_real / sum(row_len * len(of_len) for row_len, of_len in rows.items()) > 0.9


def test_a_packed_window_gets_the_same_loss_as_alone() -> None:
    encoder = tiny_encoder()
    model = DialogueLoss(tiny_gpt2(encoder)).eval()
    one, two, three = window(5, 9, 33, 0), window(7, 7, 0), window(40, 12, 3, 8, 0)

    with torch.no_grad():
        alone = [model(_fields([[piece]], 1, 16))[0] for piece in (one, two, three)]
        packed, weight = model(_fields([[one, two, three]], 1, 16))

    assert weight == 3 + 2 + 4
    torch.testing.assert_close(packed, sum(alone, torch.zeros(())), rtol=1e-5, atol=1e-5)


def test_the_loss_is_the_weighted_sum_of_token_losses() -> None:
    encoder = tiny_encoder()
    gpt2 = tiny_gpt2(encoder).eval()
    piece = Window([5, 9, 33, 0], [0.0, 0.0, 0.5, 2.0], 3)

    with torch.no_grad():
        nll, weight = DialogueLoss(gpt2).eval()(_fields([[piece]], 1, 8))
        logprobs = gpt2(torch.tensor([piece.ids])).logits[0].log_softmax(-1)

    expected = -(0.5 * logprobs[1, 33] + 2.0 * logprobs[2, 0])
    torch.testing.assert_close(nll, expected, rtol=1e-5, atol=1e-5)
    assert weight == 2.5


def test_a_pass_is_a_function_of_seed_and_epoch() -> None:
    plan = BatchPlan(sessions(40), [32, 64], 128)

    first, again, other = plan.epoch(1, 0), plan.epoch(1, 0), plan.epoch(1, 1)

    assert first == again
    assert first != other
    assert sum(len(rows.rows) for rows in first) > 0


def test_batches_of_one_row_length_have_one_shape() -> None:
    for rows in BatchPlan(sessions(40), [32, 64], 128).epoch(1, 0):
        batch = rows.collate()
        assert batch.input_ids.shape == (128 // rows.row_len, rows.row_len)
        assert batch.num_tokens == sum(len(w.ids) for row in rows.rows for w in row)


def test_data_without_loss_is_refused() -> None:
    with pytest.raises(DataError, match="no turn carries loss"):
        BatchPlan([[EncodedTurn([1, 0], 0.0, 1), EncodedTurn([2, 0], 0.0, 1)]], [16], 64)


def _fields(rows: list[list[Window]], num_rows: int, row_len: int) -> tuple[torch.Tensor, ...]:
    return collate(rows, num_rows, row_len).fields
