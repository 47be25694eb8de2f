"""The shape of a GPT-2: what its weights weigh and its layers compute, without any tensor."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Layers, width and rows of the (tied) embedding."""

    num_layers: int
    width: int
    vocab_size: int

    @property
    def layer_weights(self) -> int:
        """Weights of one layer's matrices: 3 w² for keys, values and queries, w² out, 4 w² up, 4 w² down."""
        return 12 * self.width**2

    @property
    def head_weights(self) -> int:
        """Weights of the last matrix, from width to vocabulary."""
        return self.width * self.vocab_size

    def weight_bytes(self, bytes_per_value: int) -> int:
        """All matrices that every forward pass must read; biases, norms and positions are next to nothing."""
        return bytes_per_value * (self.num_layers * self.layer_weights + self.head_weights)
