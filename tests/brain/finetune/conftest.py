"""A tiny corpus and a tiny base model, made once."""

import json
from pathlib import Path

import pytest

from brain.finetune.models import write_model
from brain.testing import tiny_encoder, tiny_gpt2


@pytest.fixture(scope="session")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions of several turns whose weights are any numbers, and some of them 0."""
    path = tmp_path_factory.mktemp("weighted") / "chat.jsonl"
    colours = ["red", "green", "blue", "grey", "white"]
    weights = [0.5, 1.0, 2.25, 0.0, 3.0]
    rows = [
        {
            "turns": [
                {"text": f"do you like {a}?", "speaker": "Guest", "weight": 0},
                {"text": f"no, i like {b}.", "speaker": "Odile", "weight": weights[(i + j) % 5] or 0.1},
                {"text": "why?", "speaker": "Guest", "weight": weights[j]},
                {"text": f"{b} suits me.", "speaker": "Odile", "weight": 1.5},
            ]
        }
        for i, a in enumerate(colours)
        for j, b in enumerate(colours)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random GPT-2 of 64 positions."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    encoder = tiny_encoder()
    write_model(tiny_gpt2(encoder), encoder, folder)
    return folder
