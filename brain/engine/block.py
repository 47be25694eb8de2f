"""One layer of GPT-2: norms, four matrices, and what LoRA weights add to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from brain.engine.linear import Linear, padded
from brain.engine.lora import LoraRows, Place
from brain.engine.shape import LAYER_NAMES, GPT2Shape

Attend = Callable[
    [int, Tensor, Tensor, Tensor], Tensor
]  # layer, q, k, v [tokens, heads, size] -> [tokens, …]
GetTensors = Callable[[Sequence[str]], dict[str, Tensor]]  # names without "transformer." to tensors


@dataclass(frozen=True, slots=True)
class Pass:
    """One way through all layers.

    `keep` int64 [kept, padding included] are the rows that leave the last layer, None for all; `loras` is the
    plan of all rows, `kept_loras` that of the kept ones, both None when nobody has any.
    """

    num_tokens: int
    attend: Attend
    keep: Tensor | None = None
    loras: LoraRows | None = None
    kept_loras: LoraRows | None = None


class Norm:
    """Layer normalisation in float32."""

    def __init__(self, weight: Tensor, bias: Tensor, epsilon: float) -> None:
        self._weight, self._bias, self._epsilon = weight.float(), bias.float(), epsilon

    def __call__(self, x: Tensor) -> Tensor:
        """Float32 [tokens, width] to the same."""
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias, self._epsilon)


class Block:
    """One layer; what it attends to is the caller's business."""

    def __init__(self, weights: dict[str, Tensor], shape: GPT2Shape) -> None:
        self._heads = shape.num_heads
        self._norms = [
            Norm(weights[f"{name}.weight"], weights[f"{name}.bias"], shape.layer_norm_epsilon)
            for name in ("ln_1", "ln_2")
        ]
        self._qkv = _linear(weights, "attn.c_attn")
        self._out = _linear(weights, "attn.c_proj")
        self._up = Linear(weights["mlp.c_fc.weight"].t(), weights["mlp.c_fc.bias"], "gelu")
        self._down = _linear(weights, "mlp.c_proj")

    def __call__(self, layer: int, x: Tensor, run: Pass, *, is_last: bool) -> Tensor:
        """Float32 [rows, width], the first of which are tokens, to the same or to those kept."""
        num_tokens, loras = run.num_tokens, run.loras
        qkv = _through(self._qkv, (layer, "attn.c_attn"), self._norms[0](x), loras)
        q, k, v = (
            qkv[:num_tokens].view(num_tokens, 3, self._heads, -1).unbind(1)
        )  # [tokens, heads, head_size]
        mixed = padded(run.attend(layer, q, k, v), len(x))  # [rows, width]
        if is_last and run.keep is not None:
            x, mixed, loras = x[run.keep], mixed[run.keep], run.kept_loras
        x.add_(_through(self._out, (layer, "attn.c_proj"), mixed, loras))
        inner = _through(self._up, (layer, "mlp.c_fc"), self._norms[1](x), loras)
        return x.add_(_through(self._down, (layer, "mlp.c_proj"), inner, loras))


def _through(linear: Linear, place: Place, x: Tensor, loras: LoraRows | None) -> Tensor:
    """[rows, in] through a matrix and the LoRA weights of each row, [rows, out]."""
    x = x.to(linear.dtype)
    if loras is None or not loras.has(place):
        return linear(x)
    return linear.activate(loras.add(place, x, linear.product(x)))


def layer_weights(take: GetTensors, layer: int) -> dict[str, Tensor]:
    """The weights of one layer, by their names within it."""
    names = [f"{name}.{kind}" for name in LAYER_NAMES for kind in ("weight", "bias")]
    found = take([f"h.{layer}.{name}" for name in names])
    return {name: found[f"h.{layer}.{name}"] for name in names}


def _linear(weights: dict[str, Tensor], name: str) -> Linear:
    return Linear(weights[f"{name}.weight"].t(), weights[f"{name}.bias"])
