"""Schedules and parameter groups."""

import json
from pathlib import Path

import pytest

from brain.finetune.config import OptimConfig
from brain.finetune.optim import lr_factor, optimizers_for
from brain.testing import tiny_encoder, tiny_gpt2

GOLDEN = Path(__file__).parents[2] / "data/golden/optim/lr_schedules.json"


@pytest.mark.parametrize("case", [c for c in json.loads(GOLDEN.read_text()) if c["schedule"] == "noam"])
def test_noam_is_dialogpts(case: dict) -> None:  # type: ignore[type-arg]
    config = OptimConfig(schedule="noam", warmup_steps=case["warmup_steps"])

    lrs = [case["lr"] * lr_factor(s, case["num_optim_steps"], config, case["n_embd"]) for s in case["steps"]]

    assert lrs == pytest.approx(case["lrs"], rel=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_schedule_warms_up_then_falls_to_its_end(schedule: str) -> None:
    config = OptimConfig.parse({"schedule": schedule, "warmup_steps": 10, "final_lr_ratio": 0.1}, "test")

    factors = [lr_factor(step, 100, config, 1) for step in range(100)]

    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == pytest.approx(1.0)
    assert factors[9:] == sorted(factors[9:], reverse=True)
    assert factors[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_each_parameter_has_one_optimiser_and_only_matrices_decay(name: str) -> None:
    model = tiny_gpt2(tiny_encoder())
    config = OptimConfig.parse({"optimizer": name, "weight_decay": 0.3}, "test")

    groups = [group for optimizer in optimizers_for(model, config) for group in optimizer.param_groups]

    seen = [id(p) for group in groups for p in group["params"]]
    assert sorted(seen) == sorted(id(p) for p in model.parameters())
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    expected = {
        id(p) for n, p in model.named_parameters() if p.ndim == 2 and "wte" not in n and "wpe" not in n
    }
    assert decayed == expected
