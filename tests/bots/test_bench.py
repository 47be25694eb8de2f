"""`banter bench` in a process of its own, on tiny random models without a tokenizer."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from brain.testing import tiny_encoder, tiny_gpt2

Banter = Callable[..., subprocess.CompletedProcess[bytes]]

SIZES = ("--history", "9", "--candidates", "3", "--new-tokens", "4", "--source", "5", "--runs", "2")


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config and weights, nothing else."""
    path = tmp_path_factory.mktemp("bare")
    tiny_gpt2(tiny_encoder()).save_pretrained(path)
    assert {file.suffix for file in path.iterdir()} == {".json", ".safetensors"}
    return path


def test_a_reply_is_one_json_object(banter: Banter, bare: Path) -> None:
    done = banter("bench", "reply", "--json", "--model", str(bare), *SIZES)
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(report["seconds"]) == {"median", "min", "max"}
    assert set(report["stages"]) == {"prefill", "generate", "mmi"}
    assert report["dtype"] == "float32"
    assert report["threads"] == 1
    assert report["peak_mib"] > 1
    assert report["floor_s"] > 0
    assert {"history": 9, "candidates": 3, "new_tokens": 4, "source": 5, "runs": 2} == report["sizes"]


def test_each_line_gets_a_measurement(banter: Banter, bare: Path) -> None:
    args = ("--json", "--no-floor", "--each-line", "--model", str(bare), "--dtype", "bfloat16", *SIZES)
    done = banter("bench", "reply", *args, stdin=b"\n\n\n")
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [report["dtype"] for report in reports] == ["bfloat16"] * 3
    assert all(report["floor_s"] is None for report in reports)


def test_without_json_it_is_for_people(banter: Banter, bare: Path) -> None:
    sizes = ("--chats", "2", "--history", "9", "--new-tokens", "4", "--runs", "1")
    done = banter("bench", "serve", "--model", str(bare), "--num-threads", "2", *sizes)
    assert done.returncode == 0
    lines = dict(line.split(": ") for line in done.stdout.decode().splitlines())
    assert float(lines["replies_per_s"]) > 0
    assert lines["threads"] == "2"


def test_training_tells_real_tokens(banter: Banter, bare: Path) -> None:
    sizes = ("--steps", "2", "--row-len", "64", "--batch-tokens", "256")
    done = banter("bench", "train", "--json", "--model", str(bare), *sizes)
    report = json.loads(done.stdout)
    assert report["tokens_per_s"] > 0
    assert 0.5 < report["real_share"] <= 1


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["reply", "--candidates", "0"], "flag: bench.reply.candidates: input should be greater than"),
        (["reply", "--history", "-1"], "flag: bench.reply.history: input should be greater than"),
        (["serve", "--chats", "0"], "flag: bench.serve.chats: input should be greater than"),
        (["train", "--row-len", "1"], "flag: bench.train.row_len: input should be greater than"),
        (["reply", "--dtype", "int3"], "Invalid value for '--dtype'"),
        (["serve", "--arrivals", "never"], "Invalid value for '--arrivals'"),
        (["repli"], "No such command 'repli'"),
    ],
)
def test_a_size_that_cannot_be_is_one_line_and_exit_code_2(
    args: list[str], sentence: str, banter: Banter
) -> None:
    done = banter("bench", *args)
    error = done.stderr.decode()
    assert (done.returncode, done.stdout, error.count("\n")) == (2, b"", 1)
    assert sentence in error


def test_sizes_beyond_the_positions_are_one_line_and_exit_code_2(banter: Banter, bare: Path) -> None:
    done = banter("bench", "reply", "--json", "--model", str(bare), "--history", "50")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == (
        "banter: history 50 and new tokens 20 make 70 tokens, but the model has 64 positions; ask for fewer\n"
    )
