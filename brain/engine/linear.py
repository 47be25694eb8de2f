"""Linear layers with weights packed once for oneDNN, and the ordinary path where packing does not work.

Packing is what makes the few rows of a decoding step fast. Its operators are private to torch: they are tried
at start-up and compared with the ordinary ones.
"""

import ctypes
from functools import cache
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

Activation = Literal["none", "gelu"]

SMALL_MODEL = 50_000_000  # parameters
_EXPECTED_ROWS = 16  # what the layout is chosen for: the candidates of one chat
_PACKABLE = (torch.float32, torch.bfloat16)
_OPS = cast(Any, torch.ops).mkldnn


class Linear:
    """x W^T + b, and GELU (tanh form) after it if asked for.

    The ordinary weight is not kept once it is packed.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation = "none") -> None:
        """Take weight [out, in] and bias [out], both of the dtype and on the device to compute with."""
        self.num_out, self.num_in = weight.shape
        self.dtype, self.device = weight.dtype, weight.device
        self._bias, self._activation = bias, activation
        self._is_packed = weight.device.type == "cpu" and can_pack(weight.dtype)
        self._weight = pack(weight) if self._is_packed else weight.contiguous()

    @property
    def num_bytes(self) -> int:
        """Memory of the weight."""
        return self.num_out * self.num_in * self.dtype.itemsize

    def __call__(self, x: Tensor) -> Tensor:
        """[rows, in] to [rows, out], both of this layer's dtype."""
        if self._is_packed:
            return _pointwise(x, self._weight, self._bias, self._activation)
        return self.activate(F.linear(x, self._weight, self._bias))

    def product(self, x: Tensor) -> Tensor:
        """As calling it, but without the activation: a new tensor, to add something to first."""
        if self._is_packed:
            return _pointwise(x, self._weight, self._bias, "none")
        return F.linear(x, self._weight, self._bias)

    def activate(self, product: Tensor) -> Tensor:
        """The activation alone."""
        return F.gelu(product, approximate="tanh") if self._activation == "gelu" else product


def usual_rows(num_rows: int) -> int:
    """The next number of rows that is computed with: oneDNN compiles a kernel for each one it meets.

    That takes a millisecond or two per layer shape, and the kernels stay in memory, a megabyte each. The
    steps are coarse where the weights must be read in any case, finer where arithmetic counts.
    """
    for step, limit in ((1, 1), (4, 4), (8, 16), (16, 64), (32, 256), (64, 512)):
        if num_rows <= limit:
            return -(-num_rows // step) * step
    return -(-num_rows // 128) * 128


def padded(x: Tensor, num_rows: int) -> Tensor:
    """Zeros below: [rows, columns] to [num_rows, columns]."""
    return x if len(x) == num_rows else F.pad(x, (0, 0, 0, num_rows - len(x)))


def pack(weight: Tensor) -> Tensor:
    """Reorder a weight [out, in] for oneDNN; the result is opaque."""
    return cast(Tensor, _OPS._reorder_linear_weight(weight.contiguous(), _EXPECTED_ROWS))


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this machine's torch has the packed operators and they agree with the ordinary ones."""
    if dtype not in _PACKABLE or not cast(Any, torch.backends.mkldnn).is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    weight, x = (torch.randn(shape, generator=generator).to(dtype) for shape in ((48, 32), (5, 32)))
    bias = torch.ones(48, dtype=dtype)
    try:
        with torch.inference_mode():
            found = [_pointwise(x, pack(weight), bias, activation) for activation in ("none", "gelu")]
    except (RuntimeError, AttributeError, TypeError):
        return False
    expected = F.linear(x.float(), weight.float(), bias.float())
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    return all(
        torch.allclose(have.float(), want, rtol=tolerance, atol=tolerance)
        for have, want in zip(found, (expected, F.gelu(expected, approximate="tanh")), strict=True)
    )


def _pointwise(x: Tensor, packed: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    approximate = "tanh" if activation == "gelu" else ""
    return cast(Tensor, _OPS._linear_pointwise(x, packed, bias, activation, [], approximate))


def give_memory_back() -> None:
    """Return freed memory to the system, where the C library (glibc) would keep it for later."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def dtype_for(device: torch.device, num_parameters: int) -> torch.dtype:
    """The fastest dtype that changes nothing people notice.

    Small models stay in float32: there 16 bits gain little, and round a little differently in a batch than
    alone, which now and then draws another token.
    """
    if num_parameters < SMALL_MODEL:
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if has_fast_bfloat16() else torch.float32


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX-512 bf16 or AMX)."""
    try:
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    except AttributeError:
        return False
