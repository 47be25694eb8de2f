"""The sizes of a GPT-2, and the names of its weights."""

from dataclasses import dataclass

HEAD_NAME = "lm_head.weight"
LAYER_NAMES = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")


@dataclass(frozen=True, slots=True)
class GPT2Shape:
    """The sizes of a model, and whether its output layer is its embedding."""

    num_layers: int
    num_heads: int
    width: int
    max_positions: int
    inner_width: int
    layer_norm_epsilon: float = 1e-5
    is_tied: bool = True

    @property
    def matrix_shapes(self) -> dict[str, tuple[int, int]]:
        """The matrices of a layer, [in, out]."""
        width, inner = self.width, self.inner_width
        return {
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (width, inner),
            "mlp.c_proj": (inner, width),
        }

    def tensor_shapes(self, vocab_size: int) -> dict[str, tuple[int, ...]]:
        """Shapes of all weights, by the names of transformers; linear weights are [in, out]."""
        width, linear = self.width, self.matrix_shapes
        shapes: dict[str, tuple[int, ...]] = {
            "transformer.wte.weight": (vocab_size, width),
            "transformer.wpe.weight": (self.max_positions, width),
            HEAD_NAME: (vocab_size, width),
        }
        for layer in range(self.num_layers):
            for name in LAYER_NAMES:
                num_in, num_out = linear.get(name, (0, width))
                weight = (num_in, num_out) if num_in else (width,)
                shapes[f"transformer.h.{layer}.{name}.weight"] = weight
                shapes[f"transformer.h.{layer}.{name}.bias"] = (num_out,)
        return shapes | {f"transformer.ln_f.{kind}": (width,) for kind in ("weight", "bias")}
