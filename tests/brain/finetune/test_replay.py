"""Talks that the base makes up: whole turns, the same again, kept in the folder of the run."""

from pathlib import Path

import torch

from brain.finetune.config import ReplayConfig, TrainConfig
from brain.finetune.replay import made_up, replay_sessions
from brain.finetune.train import run
from brain.testing import tiny_encoder, tiny_gpt2

ENCODER = tiny_encoder()
FEW = ReplayConfig(share=0.5, sessions=6, session_len=40)


def test_made_up_talks_are_whole_turns_and_repeat_with_the_seed() -> None:
    model = tiny_gpt2(ENCODER)
    state = torch.get_rng_state()

    first, again, other = (made_up(model, ENCODER, FEW, seed) for seed in (1, 1, 2))

    assert first == again != other
    assert first
    assert all(len(session.turns) > 1 and all(turn.text for turn in session.turns) for session in first)
    assert torch.equal(torch.get_rng_state(), state)


def test_they_are_made_up_once_for_a_run(tmp_path: Path) -> None:
    first = replay_sessions(tiny_gpt2(ENCODER), ENCODER, FEW, tmp_path, 1)

    again = replay_sessions(None, ENCODER, FEW, tmp_path, 1)

    assert [session.turns for session in again] == [session.turns for session in first]


def test_files_go_before_made_up_talk(tmp_path: Path) -> None:
    path = tmp_path / "general.jsonl"
    path.write_text('{"turns": ["hi", "hello"]}\n' * 10)

    sessions = replay_sessions(None, ENCODER, ReplayConfig(share=0.5, data=(f"{path}@0.3",)), tmp_path, 1)

    assert len(sessions) == 3


def test_what_is_forgotten_is_measured_on_replay_when_there_is_nothing_else(
    weighted: Path, base: Path, tmp_path: Path
) -> None:
    import json

    optim = {"epochs": 1, "row_lens": [64], "batch_tokens": 256}
    replay = {"share": 0.5, "sessions": 20, "session_len": 40}
    values = {
        "data": [str(weighted)],
        "base": str(base),
        "out": tmp_path / "run",
        "holdout": 0.2,
        "lora": True,
    }

    run(TrainConfig.parse({**values, "optim": optim, "replay": replay}, "test"))

    said = json.loads((tmp_path / "run/run.json").read_text())
    assert said["replay_tokens"] > 0
    assert set(said["general"]) == {"replay"}
    assert {"base", "now", "change"} == set(said["general"]["replay"])
