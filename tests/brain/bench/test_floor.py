"""The floor's arithmetic against what torch counts and against a slower count."""

from dataclasses import dataclass

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2LMHeadModel

from brain.bench.floor import reply_floor
from brain.bench.machine import Machine, measure_machine
from brain.bench.shape import Shape
from brain.testing import tiny_encoder, tiny_gpt2

INFINITE = 1e30


@dataclass(frozen=True)
class Sizes:
    history: int = 16
    candidates: int = 3
    new_tokens: int = 5
    source: int = 7


@pytest.fixture(scope="module")
def model() -> GPT2LMHeadModel:
    tiny = tiny_gpt2(tiny_encoder())
    tiny.set_attn_implementation("eager")  # torch counts its matrix products
    return tiny


@pytest.fixture(scope="module")
def shape(model: GPT2LMHeadModel) -> Shape:
    return Shape(model.config.n_layer, model.config.n_embd, model.config.vocab_size)


def gflop(shape: Shape, sizes: Sizes, stage: str) -> float:
    machine = Machine("float32", 1, flop_per_s=1.0, byte_per_s=1.0)
    return reply_floor(machine, shape, 4, sizes).stages[stage].gflop


def counted(model: GPT2LMHeadModel, **inputs: object) -> float:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(**inputs)
    return counter.get_total_flops() / 1e9


def test_a_step_computes_what_torch_counts(model: GPT2LMHeadModel, shape: Shape) -> None:
    sizes = Sizes(new_tokens=2)  # one step: the first token comes from the prompt's own pass
    with torch.inference_mode():
        cache = model(torch.zeros(3, sizes.history, dtype=torch.int64)).past_key_values

    step = counted(model, input_ids=torch.zeros(3, 1, dtype=torch.int64), past_key_values=cache)

    assert gflop(shape, sizes, "steps") == pytest.approx(step)


def test_a_prompt_computes_what_torch_counts_but_the_masked_half(
    model: GPT2LMHeadModel, shape: Shape
) -> None:
    history = Sizes().history
    whole = counted(model, input_ids=torch.zeros(1, history, dtype=torch.int64), logits_to_keep=1)
    masked = 2 * shape.num_layers * shape.width * history**2 / 1e9

    assert gflop(shape, Sizes(), "prompt") == pytest.approx(whole - masked)


def test_mmi_computes_what_a_slow_count_finds(shape: Shape) -> None:
    sizes, w = Sizes(), shape.width
    flop = 0.0
    for layer in range(shape.num_layers):
        for position in range(sizes.new_tokens + sizes.source):
            is_source = position >= sizes.new_tokens  # its output predicts a token of the source
            flop += 2 * 2 * w * w  # keys and values
            if is_source or layer < shape.num_layers - 1:
                flop += 2 * (2 + 8) * w * w + 4 * w * (position + 0.5)  # half of the diagonal, on average
    flop += 2 * sizes.source * shape.vocab_size * w

    assert gflop(shape, sizes, "mmi") == pytest.approx(sizes.candidates * flop / 1e9)


def test_the_slower_of_arithmetic_and_memory_counts(shape: Shape) -> None:
    quick_memory = reply_floor(Machine("float32", 1, 1e9, INFINITE), shape, 4, Sizes())
    quick_arithmetic = reply_floor(Machine("float32", 1, INFINITE, 1e9), shape, 4, Sizes())

    assert quick_memory.seconds == pytest.approx(sum(s.gflop for s in quick_memory.stages.values()))
    assert quick_arithmetic.seconds == pytest.approx(sum(s.gbyte for s in quick_arithmetic.stages.values()))


def test_half_the_bytes_are_read_in_half_precision(shape: Shape) -> None:
    machine = Machine("float32", 1, INFINITE, 1e9)
    full, half = (reply_floor(machine, shape, bytes_per_value, Sizes()) for bytes_per_value in (4, 2))
    assert half.seconds == pytest.approx(full.seconds / 2)


def test_without_mmi_there_is_no_such_stage(shape: Shape) -> None:
    floor = reply_floor(Machine("float32", 1, 1.0, 1.0), shape, 4, Sizes(), with_mmi=False)
    assert list(floor.stages) == ["prompt", "steps"]


def test_a_machine_has_speeds(shape: Shape) -> None:
    machine = measure_machine(shape, torch.float32, torch.device("cpu"))
    assert machine.dtype == "float32"
    assert machine.flop_per_s > 0
    assert machine.byte_per_s > 0
