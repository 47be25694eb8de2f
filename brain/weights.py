"""Weight files to a GPT-2 model: safetensors or pickles, whole or sharded, under the names of any release.

Pickles are only ever read with torch's weights_only, so that a file cannot run code.
"""

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel

    State = dict[str, torch.Tensor]

HEAD_WIDTH = 64  # of every published GPT-2 and DialoGPT size
HEAD, EMBEDDING, POSITIONS = "lm_head.weight", "transformer.wte.weight", "transformer.wpe.weight"
TRUNK = ("wte.", "wpe.", "h.", "ln_f.")
BUFFERS = (".attn.bias", ".attn.masked_bias")  # causal masks that old releases stored
UNPICKLING = (
    *(OSError, EOFError, RuntimeError, pickle.UnpicklingError),
    *(ValueError, KeyError, IndexError, TypeError, AttributeError),
)  # what torch.load raises for files that are no checkpoints


def read_model(path: Path, device: "torch.device", dtype: "torch.dtype") -> "GPT2LMHeadModel":
    """Build the model of a folder or of a single weight file, whose config.json beside it is optional.

    Returns:
        The model with tied weights, in evaluation mode, without gradients.
    Raises:
        CheckpointError: a file is missing, malformed or refused, or the weights are not those of a GPT-2.
    """
    import torch

    state = _named_as_today(_read_state(path))
    model = _empty_model(path, state)
    if model.config.tie_word_embeddings:
        state.pop(HEAD, None)
    _require_same_shapes(path, {name: tuple(weight.shape) for name, weight in state.items()}, model)
    # Copied out of the mapped file, so that overwriting it does not reach a running model.
    placed = {name: state.pop(name).to(device, dtype, copy=True) for name in list(state)}
    model.load_state_dict(placed, strict=False, assign=True)
    model.tie_weights()
    frozen: torch.nn.Module = model
    frozen.eval().requires_grad_(False)
    return model


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises CheckpointError naming the file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return values


def _read_state(path: Path) -> "State":
    if path.is_file():
        return _read_file(path)
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return _read_file(path / name)
        if (path / f"{name}.index.json").is_file():
            return _read_shards(path / f"{name}.index.json")
    raise CheckpointError(f"{path} holds no model: no model.safetensors nor pytorch_model.bin")


def _read_shards(index: Path) -> "State":
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or any(Path(str(name)).name != name for name in weight_map.values()):
        raise CheckpointError(f'{index} has no "weight_map" of files beside it')
    state: State = {}
    for name in sorted(set(weight_map.values())):
        state.update(_read_file(index.parent / name))
    return state


def _read_file(path: Path) -> "State":
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
    return _unpickle(path)


def _unpickle(path: Path) -> "State":
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UNPICKLING as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{path} is no plain file of weights (one that could run code when opened is refused): {reason}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is no state dict: it must map names to tensors")
    return {str(name): value for name, value in state.items()}


def _named_as_today(state: "State") -> "State":
    """Source: the loader of DialoGPT (61194e4) strips module. and ties lm_head.decoder to the embedding."""
    renamed = {}
    for name, weight in state.items():
        name = name.removeprefix("module.").replace("lm_head.decoder.", "lm_head.")
        if name.startswith(TRUNK):
            name = f"transformer.{name}"
        if not name.endswith(BUFFERS):
            renamed[name] = weight
    if HEAD in renamed:
        renamed.setdefault(EMBEDDING, renamed[HEAD])  # a tied pair may be stored under either name
    return renamed


def _empty_model(path: Path, state: "State") -> "GPT2LMHeadModel":
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import GPT2Config, GPT2LMHeadModel

    file = (path if path.is_dir() else path.parent) / "config.json"
    values = read_json(file) if file.is_file() else _values_from_shapes(path, state)
    if values.get("model_type", "gpt2") != "gpt2":
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


def _values_from_shapes(path: Path, state: "State") -> dict[str, Any]:
    if any(name not in state or state[name].dim() != 2 for name in (EMBEDDING, POSITIONS)):
        raise CheckpointError(f"{path} holds no GPT-2: there are no token and position embeddings")
    (rows, width), num_positions = state[EMBEDDING].shape, state[POSITIONS].shape[0]
    blocks = {name.split(".")[2] for name in state if name.startswith("transformer.h.")}
    if width % HEAD_WIDTH:
        raise CheckpointError(
            f"{path}: a width of {width} is no published size; put its config.json beside it"
        )
    return {
        "vocab_size": rows,
        "n_positions": num_positions,
        "n_embd": width,
        "n_layer": len(blocks),
        "n_head": width // HEAD_WIDTH,
    }


def _require_same_shapes(path: Path, found: dict[str, tuple[int, ...]], model: "GPT2LMHeadModel") -> None:
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del expected[HEAD]
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"{path} does not fit its description: {name} should be {expected.get(name, 'absent')} "
                f"and is {found.get(name, 'absent')}"
            )
