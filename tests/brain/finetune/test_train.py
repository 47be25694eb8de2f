"""The recipe: it learns, it resumes to the bit after SIGKILL, and what it writes loads again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from brain.errors import ConfigError, DataError
from brain.finetune.config import TrainConfig
from brain.finetune.train import run

SHAPE = {"num_layers": 1, "width": 16, "num_heads": 2, "max_positions": 64, "vocab_size": 300}
OPTIM = {
    "epochs": 40,
    "row_lens": [32, 64],
    "batch_tokens": 128,
    "lr": 1e-2,
    "warmup_steps": 2,
    "dropout": 0.1,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "chat.jsonl"
    colours = ["red", "green", "blue", "grey", "white", "black"]
    rows = [
        {"turns": [f"do you like {a}?", f"no, i like {b}.", "why?", f"{b} suits me."]}
        for a in colours
        for b in colours
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(corpus: Path, out: Path, **more: object) -> TrainConfig:
    values = {"data": [str(corpus)], "dev": [str(corpus)], "out": out, "scratch": SHAPE, "optim": OPTIM}
    return TrainConfig.parse({**values, "save_every": 5, "eval_every": 50, **more}, "test")


def rows_of(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_and_leaves_an_ordinary_model_folder(corpus: Path, tmp_path: Path) -> None:
    from transformers import GPT2LMHeadModel

    from brain.encoding import encoder_from_folder

    folder = run(config(corpus, tmp_path / "run"))

    rows = rows_of(tmp_path / "run")
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]  # type: ignore[operator]
    assert {"step", "loss", "lr", "tokens_per_s", "epoch"} <= rows[0].keys()
    summary = json.loads((tmp_path / "run/run.json").read_text())
    assert summary["best_val_loss"] == pytest.approx(
        min(row["val_loss"] for row in rows if "val_loss" in row), abs=1e-4
    )
    assert len(summary["data"][str(corpus)]) == 64
    model = GPT2LMHeadModel.from_pretrained(folder)
    assert model.config.vocab_size == 300
    assert 257 < encoder_from_folder(folder).vocab_size <= 300


def test_the_reverse_model_learns_the_question_from_the_answer(corpus: Path, tmp_path: Path) -> None:
    run(config(corpus, tmp_path / "run", reverse=True))

    losses = [row["loss"] for row in rows_of(tmp_path / "run") if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]  # type: ignore[operator]


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_resumes_to_the_same_weights(
    corpus: Path, base: Path, tmp_path: Path, lora: bool, precision: str
) -> None:
    start = {"scratch": None, "base": str(base), "lora": True} if lora else {}
    optim = {**OPTIM, "precision": precision, "epochs": 8}
    straight = run(config(corpus, tmp_path / "straight", **start, optim=optim))

    broken = config(corpus, tmp_path / "broken", **start, optim=optim)
    _kill_after_save(broken, min_step=random.randrange(5, 30))
    resumed = run(broken.model_copy(update={"resume": True}))

    file = "adapter_model.safetensors" if lora else "model.safetensors"
    expected, got = load_file(straight / file), load_file(resumed / file)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    losses = [
        {r["step"]: r["loss"] for r in rows_of(tmp_path / n) if "loss" in r} for n in ("straight", "broken")
    ]
    stopped = int(json.loads((tmp_path / "broken/stopped").read_text()))
    after = {step for step in losses[0] if step >= stopped + 10}  # a line is the mean of its last ten steps
    assert after
    assert {step: losses[1][step] for step in after} == {step: losses[0][step] for step in after}
    steps = [r["step"] for r in rows_of(tmp_path / "broken") if "loss" in r]
    assert steps == sorted(set(steps)), "no step stands twice in metrics.jsonl"


def test_a_run_is_neither_overwritten_nor_resumed_as_another(corpus: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "run", tmp_path / "other.jsonl"
    short = {**OPTIM, "epochs": 1}
    run(config(corpus, out, optim=short))
    before = (out / "run.json").read_text()
    other.write_text(corpus.read_text())

    with pytest.raises(ConfigError, match="holds a run already"):
        run(config(corpus, out, optim=short))
    with pytest.raises(ConfigError, match=r"another data"):
        run(config(other, out, optim=short, dev=[str(corpus)], resume=True))
    with pytest.raises(ConfigError, match=r"another optim\.lr"):
        run(config(corpus, out, optim={**short, "lr": 0.5}, resume=True))
    assert (out / "run.json").read_text() == before


def test_resuming_a_finished_run_keeps_its_figures(corpus: Path, tmp_path: Path) -> None:
    settings = config(corpus, tmp_path / "run", optim={**OPTIM, "epochs": 1})
    folder = run(settings)
    before = json.loads((tmp_path / "run/run.json").read_text())

    run(settings.model_copy(update={"resume": True}))

    after = json.loads((tmp_path / "run/run.json").read_text())
    assert after["best_nats_per_byte"] == before["best_nats_per_byte"] != {}
    assert f"{before['best_val_loss']:.4f}" in (folder / "README.md").read_text()


def test_rows_longer_than_the_positions_of_the_base_are_refused(corpus: Path, tmp_path: Path) -> None:
    base = run(config(corpus, tmp_path / "base", optim={**OPTIM, "epochs": 1}))

    with pytest.raises(ConfigError, match=r"row_lens go up to 512, but .* has 64 positions"):
        run(config(corpus, tmp_path / "next", scratch=None, base=str(base), optim={}))

    run(config(corpus, tmp_path / "next", scratch=None, base=str(base), optim={**OPTIM, "epochs": 1}))


def test_broken_unicode_is_trained_on_as_chat_would_read_it(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text('{"turns": ["a\\ud800b", "hello\\u202e there"]}\n')

    run(config(path, tmp_path / "run", optim={**OPTIM, "epochs": 1}))


def test_data_that_cannot_be_read_leaves_no_model(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"turns": ["a", "b"]}\nnot json\n')

    with pytest.raises(DataError, match=r"bad\.jsonl line 2"):
        run(config(bad, tmp_path / "run"))

    assert not (tmp_path / "run/model").exists()


def test_a_base_and_a_scratch_shape_exclude_each_other(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not both"):
        config(corpus, tmp_path, base="starter")


def _kill_after_save(config: TrainConfig, min_step: int) -> None:
    """Run in a process of its own and SIGKILL it once a resume point of `min_step` steps or more is there."""
    code = (
        "import sys; from brain.finetune.config import TrainConfig; from brain.finetune.train import run;"
        "run(TrainConfig.model_validate_json(sys.argv[1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, config.model_dump_json()], stderr=subprocess.DEVNULL
    )
    position = config.out / "state/position.json"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if json.loads(position.read_text())["step"] >= min_step:
                break
        except (OSError, ValueError):
            pass
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (config.out / "stopped").write_text(str(json.loads(_position(config.out).read_text())["step"]))


def _position(out: Path) -> Path:
    """That of the last save, which a kill may have left between its two renames."""
    return next(
        path for path in (out / "state/position.json", out / "state.old/position.json") if path.exists()
    )
