"""Folders in PEFT's format as the engine takes them: what peft computes, or one clear sentence."""

import copy
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from brain.engine.gpt2 import gpt2_from_transformers
from brain.engine.lora import placed
from brain.engine.shape import GPT2Shape
from brain.errors import CheckpointError, OtherBase
from brain.lora import note_base
from brain.lora_folders import LoraFolders
from brain.protocols import Span
from brain.testing import random_lora, tiny_encoder, tiny_gpt2

ENCODER = tiny_encoder()
BASE = tiny_gpt2(ENCODER)
SHAPE = GPT2Shape(2, 4, 32, 64, 128)
CPU = torch.device("cpu")
FOLDERS = LoraFolders("starter", "forward")
SPANS = [Span((1, 2, 3), (4, 5)), Span((9,), (8, 7, 6))]


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return random_lora(tmp_path / "lora", SHAPE)


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["c_attn", "c_proj", "c_fc"], "lora_alpha": 8, "r": 4},
        {"target_modules": ["c_attn"], "lora_alpha": 3, "r": 2},
        {"target_modules": ["c_fc", "c_proj"], "lora_alpha": 8, "r": 4, "use_rslora": True},
        {
            **{"target_modules": ["c_attn", "c_proj"], "r": 2, "rank_pattern": {"attn.c_proj": 5}},
            "alpha_pattern": {"mlp.c_proj": 7, r"h\.1\..*c_attn": 1},
        },
        {"target_modules": ["c_fc"], "r": 4, "layers_to_transform": [1], "layers_pattern": "h"},
    ],
    ids=["all", "one", "rank-stabilised", "patterns", "some layers"],
)
def test_what_peft_wrote_is_computed_as_peft_does(tmp_path: Path, options: dict[str, Any]) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(fan_in_fan_out=True, init_lora_weights=False, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tuned = peft.get_peft_model(copy.deepcopy(BASE), config)
    tuned.save_pretrained(tmp_path)

    weights = placed(FOLDERS.read(str(tmp_path)), SHAPE, CPU, torch.float32)
    found = gpt2_from_transformers(BASE, CPU, torch.float32).score(SPANS, [weights] * 2)

    expected = gpt2_from_transformers(tuned.merge_and_unload(), CPU, torch.float32).score(SPANS)
    assert found == pytest.approx(expected, abs=1e-4)
    assert found != pytest.approx(gpt2_from_transformers(BASE, CPU, torch.float32).score(SPANS), abs=1e-2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "use_dora cannot be chosen per chat"),
        ({"modules_to_save": ["wte"]}, "modules_to_save cannot"),
        ({"bias": "all"}, "bias all cannot"),
        ({"peft_type": "IA3"}, "peft_type IA3 cannot"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights pissa_niter_4 cannot"),
        ({"r": 8}, "says rank 8 and alpha 4 for transformer.h.0.attn.c_attn, whose weights have rank 4"),
        ({"lora_alpha": "much"}, "alpha much"),
    ],
)
def test_what_cannot_be_chosen_per_chat_is_named(lora: Path, change: dict[str, Any], said: str) -> None:
    file = lora / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError) as caught:
        FOLDERS.read(str(lora))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def rewritten(lora: Path, change: Any) -> None:
    file = lora / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t | {"base_model.model.lm_head.lora_A.weight": torch.ones(4, 32)}, "lm_head.lora_A"),
        (lambda t: {k: v for k, v in t.items() if "h.1.mlp.c_fc.lora_B" not in k}, "c_fc has no A and B"),
        (lambda t: {k: v for k, v in t.items() if "h.1.mlp.c_fc.lora_A" not in k}, "no A and B"),
        (lambda t: {}, "no A and B"),
    ],
)
def test_tensors_that_do_not_belong_together_are_refused(lora: Path, change: Any, said: str) -> None:
    rewritten(lora, change)
    with pytest.raises(CheckpointError, match=said):
        FOLDERS.read(str(lora))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {k: v * math.nan for k, v in t.items()}, "no numbers"),
        (
            lambda t: {k.replace("h.1.", "h.9."): v for k, v in t.items()},
            "c_attn of layer 9 is .* in 2 layers",
        ),
    ],
)
def test_weights_that_do_not_fit_the_model_are_refused(lora: Path, change: Any, said: str) -> None:
    rewritten(lora, change)
    with pytest.raises(CheckpointError, match=said):
        placed(FOLDERS.read(str(lora)), SHAPE, CPU, torch.float32)


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors", "."])
def test_a_folder_with_less_says_what_is_missing(lora: Path, missing: str) -> None:
    shutil.rmtree(lora) if missing == "." else (lora / missing).unlink()
    for look in (FOLDERS.version, FOLDERS.read):
        with pytest.raises(CheckpointError, match=r"holds no LoRA weights|there are no LoRA weights at"):
            look(str(lora))


def test_a_cut_file_is_refused(lora: Path) -> None:
    os.truncate(lora / "adapter_model.safetensors", 500)
    with pytest.raises(CheckpointError, match="cannot be read"):
        FOLDERS.read(str(lora))


def test_the_version_changes_with_the_files_and_only_then(lora: Path) -> None:
    before = FOLDERS.version(str(lora))
    assert FOLDERS.version(str(lora)) == before
    random_lora(lora, SHAPE, seed=1)
    assert FOLDERS.version(str(lora)) != before


def test_the_folder_of_a_run_will_do(tmp_path: Path) -> None:
    random_lora(tmp_path / "run" / "model", SHAPE)
    (tmp_path / "run" / "run.json").write_text("{}")
    assert FOLDERS.read(str(tmp_path / "run")).parts


def saved_base(folder: Path, seed: int) -> Path:
    tiny_gpt2(ENCODER, seed=seed).save_pretrained(folder)
    return folder


def test_weights_of_another_base_are_told_apart(tmp_path: Path, lora: Path) -> None:
    mine, other = saved_base(tmp_path / "mine", 0), saved_base(tmp_path / "other", 1)
    note_base(lora, str(mine), mine, reverse=False)
    assert LoraFolders(str(mine), "forward").read(str(lora)).parts
    with pytest.raises(OtherBase, match=r"another base: they were trained on a forward model named .*mine"):
        LoraFolders(str(other), "forward").read(str(lora))
    with pytest.raises(OtherBase, match="merged into their base already"):
        LoraFolders(str(lora), "forward").read(str(lora))
