"""The least time in which a machine could make a whole reply: arithmetic and memory traffic, counted.

    floor = Σ over stages of max(flop / (flop per second), bytes / (bytes per second))

A stage is a forward pass: the prompt once, each of the N - 1 further steps of all candidates, and MMI. With L
layers, width w, vocabulary V, history H, C candidates of N tokens, a source of S, and b bytes per value:

    weights  W = b·(12·L·w² + V·w)                         read once per stage
    prompt   flop = 24·L·w²·H + 2·L·w·H² + 2·V·w           logits of the last position only
             bytes = W + 2·b·L·w·H                         keys and values written
    step i   flop = C·(24·L·w² + 4·L·w·(H + i) + 2·V·w)    i = 1 … N - 1
             bytes = W + 2·b·L·w·(H + C·i)                 the prompt's keys and values are shared
    MMI      T = N + S inputs per candidate: its N tokens, the end token, all of the source but the last
             flop = C·((L - 1)·(24·w²·T + 2·w·T²) + 4·w²·T + 20·w²·S + 4·w·S·(T - S/2) + 2·V·w·S)
             bytes = W                                     in the last layer, what comes before the source
                                                           is needed as keys and values alone
What is left out makes it a true floor: norms, activations, sampling, and time to start anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from brain.bench.machine import Machine
from brain.bench.shape import Shape


class Sizes(Protocol):
    """Of one reply; lengths in tokens."""

    @property
    def history(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def new_tokens(self) -> int: ...
    @property
    def source(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Work:
    """Of one forward pass."""

    flop: float
    num_bytes: float

    def seconds(self, machine: Machine) -> float:
        """The slower of arithmetic and memory, as if they overlapped wholly."""
        return max(self.flop / machine.flop_per_s, self.num_bytes / machine.byte_per_s)


@dataclass(frozen=True, slots=True)
class Stage:
    """One or many forward passes of a kind."""

    seconds: float
    gflop: float
    gbyte: float


@dataclass(frozen=True, slots=True)
class Floor:
    """The inputs of the formula, and what comes out per stage."""

    machine: Machine
    shape: Shape
    bytes_per_value: int
    stages: dict[str, Stage]

    @property
    def seconds(self) -> float:
        """Of the whole reply."""
        return sum(stage.seconds for stage in self.stages.values())


def reply_floor(
    machine: Machine, shape: Shape, bytes_per_value: int, sizes: Sizes, *, with_mmi: bool = True
) -> Floor:
    """Apply the formula above."""
    steps = [_step(shape, bytes_per_value, sizes, i) for i in range(1, sizes.new_tokens)]
    stages = {
        "prompt": _stage([_prompt(shape, bytes_per_value, sizes)], machine),
        "steps": _stage(steps, machine),
    }
    if with_mmi:
        stages["mmi"] = _stage([_mmi(shape, bytes_per_value, sizes)], machine)
    return Floor(machine, shape, bytes_per_value, stages)


def _stage(passes: Iterable[Work], machine: Machine) -> Stage:
    passes = list(passes)
    return Stage(
        sum(work.seconds(machine) for work in passes),
        sum(work.flop for work in passes) / 1e9,
        sum(work.num_bytes for work in passes) / 1e9,
    )


def _prompt(shape: Shape, bytes_per_value: int, sizes: Sizes) -> Work:
    per_token = 2 * shape.num_layers * shape.layer_weights
    attention = 2 * shape.num_layers * shape.width * sizes.history**2  # half of the square is masked
    keys_values = 2 * bytes_per_value * shape.num_layers * shape.width * sizes.history
    return Work(
        per_token * sizes.history + attention + 2 * shape.head_weights,
        shape.weight_bytes(bytes_per_value) + keys_values,
    )


def _step(shape: Shape, bytes_per_value: int, sizes: Sizes, i: int) -> Work:
    per_row = 2 * shape.num_layers * shape.layer_weights + 2 * shape.head_weights
    attention = 4 * shape.num_layers * shape.width * (sizes.history + i)
    keys_values = (
        2 * bytes_per_value * shape.num_layers * shape.width * (sizes.history + sizes.candidates * i)
    )
    return Work(sizes.candidates * (per_row + attention), shape.weight_bytes(bytes_per_value) + keys_values)


def _mmi(shape: Shape, bytes_per_value: int, sizes: Sizes) -> Work:
    width, length = shape.width, sizes.new_tokens + sizes.source
    full_layer = 2 * shape.layer_weights * length + 2 * width * length**2
    attention = 4 * width * sizes.source * (length - sizes.source / 2)
    last_layer = 4 * width**2 * length + 20 * width**2 * sizes.source + attention
    head = 2 * shape.head_weights * sizes.source
    return Work(
        sizes.candidates * ((shape.num_layers - 1) * full_layer + last_layer + head),
        shape.weight_bytes(bytes_per_value),
    )
