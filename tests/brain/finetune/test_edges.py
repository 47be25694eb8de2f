"""What cannot be trained, or not written, is one clear sentence; nothing half written stays behind."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brain.errors import BrainError, DataError, TrainingError
from brain.finetune.config import TrainConfig
from brain.finetune.train import run

OPTIM = {"epochs": 2, "row_lens": [64], "batch_tokens": 4096, "lr": 1e-2, "warmup_steps": 2}
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from brain.errors import BrainError
from brain.finetune.config import TrainConfig
from brain.finetune.train import run
try:
    run(TrainConfig.model_validate_json(sys.argv[1]))
except BrainError as error:
    print(type(error).__name__, error)
"""


def config(data: Path, base: Path, out: Path, **more: Any) -> TrainConfig:
    values = {"data": [str(data)], "base": str(base), "out": out, "optim": OPTIM}
    return TrainConfig.parse({**values, **more}, "test")


def written(path: Path, *sessions: list[Any]) -> Path:
    path.write_text("".join(json.dumps({"turns": turns}) + "\n" for turns in sessions))
    return path


def said(text: str, speaker: str, weight: float = 1.0) -> dict[str, Any]:
    return {"text": text, "speaker": speaker, "weight": weight}


@pytest.mark.parametrize(
    ("sessions", "more", "reason"),
    [
        ([[said("hi", "A", 0), said("ho", "B", 0)]], {}, "every weight is 0"),
        ([[said("hi", "A", 2.0), said("ho", "B", 0)]], {}, "every session needs a reply to learn"),
        ([[said("hi", "A"), said("ho", "A")]], {}, "only one speaker, 'A': a reply needs somebody to answer"),
        ([[said("hi", "A")]], {}, "one speaker alone answers nobody"),
        (
            [[said("hi", "A"), said("ho", "B")]],
            {"speaker": "C"},
            "no turn is said by 'C'; there are: 'A', 'B'",
        ),
        ([[said("hi", "A"), said("ho", "B")]], {"holdout": 0.5}, "too little to hold a part out"),
    ],
)
def test_data_that_teaches_nothing_is_refused_with_the_reason(
    tmp_path: Path, base: Path, sessions: list[Any], more: dict[str, Any], reason: str
) -> None:
    data = written(tmp_path / "chat.jsonl", *sessions)

    with pytest.raises(DataError, match=reason):
        run(config(data, base, tmp_path / "run", **more))

    assert not (tmp_path / "run").exists()


def test_a_corpus_smaller_than_a_batch_is_one_step_a_pass(tmp_path: Path, base: Path) -> None:
    data = written(tmp_path / "chat.jsonl", ["hi", "hello"])

    folder = run(config(data, base, tmp_path / "run"))

    assert json.loads((tmp_path / "run/run.json").read_text())["steps"] == 2
    assert (folder / "model.safetensors").is_file()


def test_a_loss_that_is_no_number_ends_the_run_without_a_model(
    weighted: Path, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"training diverged at step \d+: the training loss is (nan|inf)"):
        run(config(weighted, base, tmp_path / "run", optim={**OPTIM, "lr": 1e30, "epochs": 20}))

    assert not list((tmp_path / "run").glob("model*"))


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    weighted: Path, base: Path, tmp_path: Path, lora: bool
) -> None:
    settings = config(weighted, base, tmp_path / "run", lora=lora, save_every=1)

    done = subprocess.run(
        [sys.executable, "-c", LIMITED, settings.model_dump_json()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.stdout.startswith("TrainingError"), done.stdout + done.stderr
    assert "cannot be written" in done.stdout
    assert done.stdout.count("\n") == 1
    assert not list((tmp_path / "run").glob("*.new"))
    assert not (tmp_path / "run/state").exists()


def test_an_output_folder_that_cannot_be_made_is_one_sentence(
    weighted: Path, base: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BrainError, match="cannot be written"):
        run(config(weighted, base, tmp_path / "file/run"))
