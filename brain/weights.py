"""Weight files to a GPT-2: transformers' own, to train or to convert, or ours, to talk with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain.errors import CheckpointError
from brain.tensors import EMBEDDING, HEAD, POSITIONS, TensorFiles, read_json

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel

    from brain.engine.gpt2 import GPT2
    from brain.engine.shape import GPT2Shape

HEAD_WIDTH = 64  # of every published GPT-2 and DialoGPT size
_PLAIN = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}  # what our own forward pass computes

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Description:
    """A model as its config.json, or its weights alone, tell it."""

    path: Path
    values: dict[str, Any]

    @property
    def is_gpt2(self) -> bool:
        """Whether it is a GPT-2 at all."""
        return bool(self.values.get("model_type", "gpt2") == "gpt2")

    @property
    def is_plain(self) -> bool:
        """Whether our own forward pass can compute it."""
        return self.is_gpt2 and all(
            self.values.get(key, allowed[0]) in allowed for key, allowed in _PLAIN.items()
        )

    def number(self, key: str, default: int) -> int:
        """A positive whole number. Raises CheckpointError."""
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{self.path} is no description of a GPT-2: {key} is {value!r}")
        return value


def describe(path: Path) -> Description:
    """What a folder or weight file holds; a config.json beside a weight file is optional.

    Raises:
        CheckpointError: it is missing or malformed.
    """
    file = (path if path.is_dir() else path.parent) / "config.json"
    if file.is_file():
        return Description(file, read_json(file))
    return Description(path, _values_from_shapes(path, TensorFiles(path).shapes))


def read_model(path: Path, device: "torch.device", dtype: "torch.dtype") -> "GPT2LMHeadModel":
    """Build transformers' model of a folder or of a single weight file.

    Returns:
        The model with tied weights, in evaluation mode, without gradients.
    Raises:
        CheckpointError: a file is missing, malformed or refused, or the weights are not those of a GPT-2.
    """
    import torch

    files, description = TensorFiles(path), describe(path)
    if description.is_gpt2:
        require_layers(description, files.shapes)
    model = _empty_model(description)
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    names = _required(path, files.shapes, expected, model.config.tie_word_embeddings)
    # Copied out of the mapped file, so that overwriting it does not reach a running model.
    placed = {name: tensor.to(device, dtype, copy=True) for name, tensor in files.get(names).items()}
    model.load_state_dict(placed, strict=False, assign=True)
    model.tie_weights()
    frozen: torch.nn.Module = model
    frozen.eval().requires_grad_(False)
    return model


def read_packed(
    path: Path, device: "torch.device", dtype: "torch.dtype | None", keep_bytes: int = 0
) -> "GPT2":
    """Build our own model, tensor by tensor: at no time is much more than its running size in memory.

    Args:
        dtype: None chooses by size and machine, see `brain.engine.linear.dtype_for`.
        keep_bytes: for prompts kept between the turns of a chat.
    Raises:
        CheckpointError: as `read_model`.
    """
    import torch

    from brain.engine.gpt2 import GPT2
    from brain.engine.linear import dtype_for

    files, description = TensorFiles(path), describe(path)
    require_layers(description, files.shapes)
    shape = gpt2_shape(description)
    vocab = description.number("vocab_size", 50257)
    names = _required(path, files.shapes, shape.tensor_shapes(vocab), shape.is_tied)
    num_parameters = sum(_product(files.shapes[name]) for name in names)

    def get(wanted: Sequence[str]) -> "dict[str, torch.Tensor]":
        stored = {name if name == HEAD else f"transformer.{name}": name for name in wanted}
        found = {stored[name]: tensor for name, tensor in files.get(stored).items()}
        for name, tensor in found.items():
            if not tensor.sum(dtype=torch.float32).isfinite():
                raise CheckpointError(f"{path}: {name} holds values that are no numbers; the file is damaged")
        return found

    dtype = dtype or dtype_for(device, num_parameters)
    return GPT2(shape, get, device=device, dtype=dtype, keep_bytes=keep_bytes)


def gpt2_shape(description: Description) -> "GPT2Shape":
    """The sizes that our own forward pass needs. Raises CheckpointError."""
    from brain.engine.shape import GPT2Shape

    width, heads = description.number("n_embd", 768), description.number("n_head", 12)
    if width % heads:
        raise CheckpointError(
            f"{description.path} is no description of a GPT-2: "
            f"n_embd {width} is no multiple of n_head {heads}"
        )
    inner = description.values.get("n_inner") or 4 * width
    epsilon, is_tied = (
        description.values.get(key, default)
        for key, default in (("layer_norm_epsilon", 1e-5), ("tie_word_embeddings", True))
    )
    for key, value, is_good in (
        ("layer_norm_epsilon", epsilon, isinstance(epsilon, float) and 0 < epsilon < 1),
        ("tie_word_embeddings", is_tied, isinstance(is_tied, bool)),
    ):
        if not is_good:
            raise CheckpointError(f"{description.path} is no description of a GPT-2: {key} is {value!r}")
    return GPT2Shape(
        num_layers=description.number("n_layer", 12),
        num_heads=heads,
        width=width,
        inner_width=Description(description.path, {"n_inner": inner}).number("n_inner", inner),
        max_positions=description.number("n_positions", 1024),
        layer_norm_epsilon=epsilon,
        is_tied=is_tied,
    )


def require_layers(description: Description, shapes: Shapes) -> None:
    """Refuse a description with another number of layers than the weights, before one is made for each.

    Raises:
        CheckpointError: they differ.
    """
    said, found = description.number("n_layer", 12), _num_layers(shapes)
    if said != found:
        raise CheckpointError(
            f"{description.path} says n_layer {said}, but the weights beside it have {found} layers"
        )


def _num_layers(shapes: Shapes) -> int:
    return len({name.split(".")[2] for name in shapes if name.startswith("transformer.h.")})


def _empty_model(description: Description) -> "GPT2LMHeadModel":
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import GPT2Config, GPT2LMHeadModel

    values, file = dict(description.values), description.path
    if not description.is_gpt2:
        raise CheckpointError(f"{file} describes a model of type '{values['model_type']}', not gpt2")
    rows = values.get("vocab_size", 50257)
    for key in ("bos_token_id", "eos_token_id"):
        token = values.get(key, 50256)
        values[key] = token if isinstance(token, int) and isinstance(rows, int) and token < rows else None
    try:
        with torch.device("meta"):  # no memory, no random initialisation
            return GPT2LMHeadModel(GPT2Config.from_dict(values))
    except (StrictDataclassError, TypeError, ValueError, KeyError, ZeroDivisionError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{file} is no description of a GPT-2: {reason}") from error


def _values_from_shapes(path: Path, shapes: Shapes) -> dict[str, Any]:
    if any(len(shapes.get(name, ())) != 2 for name in (EMBEDDING, POSITIONS)):
        raise CheckpointError(f"{path} holds no GPT-2: there are no token and position embeddings")
    (rows, width), num_positions = shapes[EMBEDDING], shapes[POSITIONS][0]
    if width % HEAD_WIDTH:
        raise CheckpointError(
            f"{path}: a width of {width} is no published size; put its config.json beside it"
        )
    return {
        "vocab_size": rows,
        "n_positions": num_positions,
        "n_embd": width,
        "n_layer": _num_layers(shapes),
        "n_head": width // HEAD_WIDTH,
    }


def _required(path: Path, found: Shapes, expected: Shapes, is_tied: bool) -> list[str]:
    """The names to read; the weights must be exactly those that the description asks for."""
    ignored = {HEAD} if is_tied else set()
    for name in sorted((expected.keys() | found.keys()) - ignored):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"{path} does not fit its description: {name} should be {expected.get(name, 'absent')} "
                f"and is {found.get(name, 'absent')}"
            )
    return sorted(expected.keys() - ignored)


def _product(shape: Sequence[int]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size
