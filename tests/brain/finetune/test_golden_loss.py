"""The recipe's loss is DialoGPT's, as recorded from the original program on a tiny model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from brain.finetune.batches import collate
from brain.finetune.examples import Window
from brain.finetune.train import DialogueLoss

GOLDEN = Path(__file__).parents[2] / "data/golden"
RECORDED = json.loads((GOLDEN / "model/tiny_gpt2_loss.json").read_text())


@pytest.fixture(scope="module")
def loss() -> DialogueLoss:
    model: Any = GPT2LMHeadModel(GPT2Config(**RECORDED["inputs"]["config"], attn_implementation="eager"))
    stored = np.load(GOLDEN / "mmi/tiny_gpt2_state.npz").items()
    state = {name: torch.from_numpy(value) for name, value in stored if name.startswith("transformer.")}
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return DialogueLoss(model.eval())


def windows() -> list[Window]:
    """The recorded rows: a label of -1 is a weight of 0; the label of a place is the id after it."""
    rows = zip(RECORDED["inputs"]["input_ids"], RECORDED["inputs"]["lm_labels"], strict=True)
    return [
        Window(
            [*ids, labels[-1] if labels[-1] > 0 else 0], [0.0, *(float(label >= 0) for label in labels)], 0
        )
        for ids, labels in rows
    ]


def test_the_loss_of_a_batch_is_the_recorded_one(loss: DialogueLoss) -> None:
    nll, weight = loss(collate([[window] for window in windows()], 2, 32).fields)

    assert weight == 18
    assert (nll / weight).item() == pytest.approx(RECORDED["no_token_ids"]["loss"], abs=1e-5)


def test_the_loss_of_each_session_is_the_recorded_one_also_packed(loss: DialogueLoss) -> None:
    alone = [loss(collate([[window]], 1, 34).fields) for window in windows()]
    packed, weight = loss(collate([windows()], 1, 34).fields)

    means = [(nll / count).item() for nll, count in alone]
    assert means == pytest.approx(RECORDED["no_token_ids"]["pointwise_loss"], abs=1e-5)
    assert (packed / weight).item() == pytest.approx(RECORDED["no_token_ids"]["loss"], abs=1e-5)


def test_a_row_without_labels_changes_nothing(loss: DialogueLoss) -> None:
    first, second = windows()
    silent = Window(first.ids, [0.0] * len(first.ids), 0)

    nll, weight = loss(collate([[silent], [second]], 2, 32).fields)

    assert (nll / weight).item() == pytest.approx(RECORDED["row0_all_masked"]["loss"], abs=1e-5)
