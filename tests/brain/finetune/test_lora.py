"""LoRA weights: an ordinary PEFT folder that knows its base, and says the same when loaded again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from brain.checkpoint import load
from brain.errors import CheckpointError, ConfigError
from brain.finetune.config import TrainConfig
from brain.finetune.train import run

OPTIM = {"epochs": 3, "row_lens": [64], "batch_tokens": 256, "lr": 1e-2, "warmup_steps": 2}


def config(data: Path, base: Path | str, out: Path, **more: Any) -> TrainConfig:
    optim = {**OPTIM, **more.pop("optim", {})}
    values = {"data": [str(data)], "dev": [str(data)], "base": str(base), "out": out, "lora": True}
    return TrainConfig.parse({**values, "eval_every": 100, **more, "optim": optim}, "test")


@pytest.fixture(scope="module")
def trained(weighted: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(config(weighted, base, tmp_path_factory.mktemp("lora") / "run"))


def summary(out: Path) -> Any:
    return json.loads((out / "run.json").read_text())


def test_the_folder_is_pefts_with_the_name_and_hash_of_the_base(trained: Path, base: Path) -> None:
    values = json.loads((trained / "adapter_config.json").read_text())

    assert values["base_model_name_or_path"] == str(base)
    assert values["fan_in_fan_out"] is True
    assert sorted(values["target_modules"]) == ["c_attn", "c_fc", "c_proj"]
    assert len(json.loads((trained / "base.json").read_text())["sha256"]) == 64
    assert (trained / "adapter_model.safetensors").stat().st_size < (
        base / "model.safetensors"
    ).stat().st_size
    assert (trained / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


def test_it_learns_and_leaves_the_base_alone(trained: Path) -> None:
    said = summary(trained.parent)

    assert said["best_val_loss"] < 0.7 * said["base_val_loss"]
    assert said["trained_parameters"] < said["parameters"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_written_has_the_loss_that_was_measured(
    weighted: Path, base: Path, tmp_path: Path, precision: str
) -> None:
    out = tmp_path / "run"
    run(config(weighted, base, out, optim={"precision": precision}))

    merged = load(str(out))  # the folder of the run is a model by itself
    again = tmp_path / "again"
    run(config(weighted, _saved(merged, tmp_path), again, lora=False, optim={"epochs": 0.01, "lr": 1e-9}))

    tolerance = 1e-4 if precision == "fp32" else 0.02
    assert summary(again)["base_val_loss"] == pytest.approx(summary(out)["best_val_loss"], abs=tolerance)


def test_lora_weights_of_another_base_are_refused_in_one_line(
    trained: Path, base: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "mine")
    shutil.copytree(base, tmp_path / "other")
    weights = tmp_path / "other/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    for name in ("adapter_config.json", "base.json"):
        path = tmp_path / "mine" / name
        path.write_text(path.read_text().replace(str(base), str(tmp_path / "other")))

    with pytest.raises(CheckpointError, match="LoRA weights of another base: they were trained on a forward"):
        load(str(tmp_path / "mine"))


def test_lora_weights_are_no_base_for_further_ones(trained: Path, weighted: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds LoRA weights; name their base"):
        run(config(weighted, trained, tmp_path / "run"))

    assert not (tmp_path / "run").exists()


def test_unknown_targets_are_named(weighted: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such matrices in this model; GPT-2 has c_attn"):
        run(config(weighted, base, tmp_path / "run", lora_weights={"targets": ["q_proj"]}))


def test_a_reverse_model_learns_from_single_source_sessions(base: Path, tmp_path: Path) -> None:
    """Sources of weight 0 are the usual form; DialoGPT's preparation drops every such session reversed."""
    data = tmp_path / "single.jsonl"
    rows = [
        {"turns": [{"text": f"do you like {a}?", "weight": 0.0}, {"text": f"{a} is what i like."}]}
        for a in ("red", "green", "blue", "grey") * 8
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    run(config(data, base, tmp_path / "run", reverse=True, optim={"epochs": 12}))

    said = summary(tmp_path / "run")
    assert said["trained_tokens_per_epoch"] > 0
    assert said["best_val_loss"] < 0.5 * said["base_val_loss"]


def _saved(loaded: Any, folder: Path) -> Path:
    loaded.model.save_pretrained(folder / "merged")
    loaded.encoder.save(folder / "merged/tokenizer.json")
    return folder / "merged"
