"""Two processes train as one does: the same losses to 1e-5, with weights, full and LoRA."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from brain.finetune.config import TrainConfig
from brain.finetune.train import run

CODE = """
import sys
from brain.finetune.config import TrainConfig
from brain.finetune.train import run
run(TrainConfig.model_validate_json(sys.argv[1]))
"""
OPTIM = {
    "epochs": 2,
    "row_lens": [64],
    "batch_tokens": 128,
    "lr": 1e-2,
    "warmup_steps": 2,
    "precision": "fp32",
}


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_two_gloo_processes_train_as_one(weighted: Path, base: Path, tmp_path: Path, lora: bool) -> None:
    def config(name: str, accumulation: int) -> TrainConfig:
        values = {"data": [str(weighted)], "dev": [str(weighted)], "base": str(base), "out": tmp_path / name}
        optim = {**OPTIM, "accumulation": accumulation}
        return TrainConfig.parse({**values, "lora": lora, "optim": optim, "eval_every": 4}, "test")

    run(config("one", 2))
    (script := tmp_path / "two.py").write_text(CODE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*launch, str(script), config("two", 1).model_dump_json()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
    )

    assert done.returncode == 0, done.stderr[-9000:]
    one, two = (_losses(tmp_path / name) for name in ("one", "two"))
    assert len(one) >= 4
    assert two == pytest.approx(one, abs=1e-5)
    assert _steps(tmp_path / "two") == _steps(tmp_path / "one")


def _losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row.get("val_loss", row.get("loss")) for row in rows]


def _steps(folder: Path) -> int:
    return int(json.loads((folder / "run.json").read_text())["num_steps"])
