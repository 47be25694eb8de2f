"""What this machine can do at best, measured now: arithmetic and reading of memory.

The speeds are taken at the size of the model in question, since caches make small ones faster.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from brain.bench.shape import Shape

REPEATS = 7
ROWS = 512  # of the matrix product: between the 128 of a prompt and the 800 of MMI
MAX_MATRICES = 8  # multiplied one after the other, as the layers are


@dataclass(frozen=True, slots=True)
class Machine:
    """Speeds at one precision, each the best of a few; `threads` are torch's."""

    dtype: str
    threads: int
    flop_per_s: float  # matrix product [ROWS, width] · [width, 4 width], best of the ways torch offers
    byte_per_s: float  # reading as many bytes as the weights have, likewise


@torch.inference_mode()
def measure_machine(shape: Shape, dtype: torch.dtype, device: torch.device) -> Machine:
    """Multiply and read for about a second.

    Args:
        shape: of the model whose floor is wanted.
        dtype: of its weights and activations.
    """
    return Machine(
        str(dtype).removeprefix("torch."),
        torch.get_num_threads(),
        _flop_per_s(shape, dtype, device),
        _byte_per_s(shape.weight_bytes(dtype.itemsize), device),
    )


def _flop_per_s(shape: Shape, dtype: torch.dtype, device: torch.device) -> float:
    num = min(shape.num_layers, MAX_MATRICES)
    rows = torch.randn(ROWS, shape.width, device=device, dtype=dtype)
    weights = [
        torch.randn(4 * shape.width, shape.width, device=device, dtype=dtype) for _ in range(num)
    ]  # [out, in]

    def multiply_all(product: Callable[[Tensor, Tensor], Tensor], matrices: Sequence[Tensor]) -> float:
        return _seconds(lambda: [product(rows, matrix) for matrix in matrices], device)

    seconds = [multiply_all(F.linear, weights)]
    mkldnn = torch.ops.mkldnn
    if device.type == "cpu" and hasattr(mkldnn, "_linear_pointwise"):  # oneDNN, weights packed once
        packed = [mkldnn._reorder_linear_weight(weight, ROWS) for weight in weights]
        seconds.append(multiply_all(_packed_linear, packed))
    return num * 2 * ROWS * 4 * shape.width**2 / min(seconds)


def _packed_linear(rows: Tensor, matrix: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, matrix, None, "none", [], "")
    return product


def _byte_per_s(num_bytes: int, device: torch.device) -> float:
    numbers = torch.ones(-(-num_bytes // 4096), 1024, device=device)  # float32, whatever the model has
    vector = torch.ones(1024, device=device)
    ways: tuple[Callable[[], object], ...] = (numbers.sum, lambda: numbers @ vector)
    return numbers.nbytes / min(_seconds(way, device) for way in ways)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The least over REPEATS, after one that does not count: what others do meanwhile is no limit."""
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times[1:])
