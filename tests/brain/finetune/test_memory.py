"""Micro-batches from memory: what is measured is what is kept, and the step stays as large."""

from pathlib import Path

import pytest
import torch

from brain.errors import ConfigError
from brain.finetune import memory
from brain.finetune.batches import collate
from brain.finetune.config import OptimConfig, TrainConfig
from brain.finetune.examples import Window
from brain.finetune.models import make_trainable
from brain.finetune.train import DialogueLoss, run
from brain.testing import tiny_encoder, tiny_gpt2

ENCODER = tiny_encoder()
CPU = torch.device("cpu")


def loss_module(**optim: object) -> DialogueLoss:
    model = tiny_gpt2(ENCODER)
    make_trainable(model, OptimConfig.parse(optim, "test"))
    return DialogueLoss(model).train()


@pytest.mark.parametrize(("step_tokens", "expected"), [(64, 64), (640, 640), (650, 640)])
def test_with_room_for_all_a_step_is_one_micro_batch(step_tokens: int, expected: int) -> None:
    tokens, accumulation = memory.micro_batch_tokens(loss_module(), ENCODER.vocab_size, 64, step_tokens, CPU)

    assert (tokens, accumulation) == (expected, 1)


def test_with_little_room_there_are_more_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    module = loss_module()
    row = memory._saved_bytes(module, 64, CPU) + memory.LOGIT_COPIES * 4 * ENCODER.vocab_size * 64
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(3.5 * row / memory.USABLE))

    tokens, accumulation = memory.micro_batch_tokens(module, ENCODER.vocab_size, 64, 640, CPU)

    assert tokens <= 3 * 64
    assert 640 <= tokens * accumulation < 640 + 64 * accumulation


def test_a_row_that_does_not_fit_says_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)

    with pytest.raises(ConfigError, match=r"one row of 64 tokens needs .* lower row_lens"):
        memory.micro_batch_tokens(loss_module(), ENCODER.vocab_size, 64, 640, CPU)


def test_checkpointing_keeps_less_and_changes_no_gradient() -> None:
    plain, thrifty = loss_module(), loss_module(checkpointing=True)
    batch = collate([[Window(list(range(1, 60)), [1.0] * 59, 0)]], 1, 64)

    for module in (plain, thrifty):
        nll, weight = module(batch.fields)
        (nll / weight).backward()

    assert memory._saved_bytes(thrifty, 64, CPU) < 0.6 * memory._saved_bytes(plain, 64, CPU)
    for one, other in zip(plain.parameters(), thrifty.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_resumed_run_keeps_its_batches_when_memory_has_changed(
    weighted: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optim = {"epochs": 1, "row_lens": [64], "batch_tokens": "auto", "step_tokens": 256}
    values = {"data": [str(weighted)], "base": str(base), "out": tmp_path / "run", "optim": optim}
    config = TrainConfig.parse(values, "test")
    run(config)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)

    run(config.model_copy(update={"resume": True}))
