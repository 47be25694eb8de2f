"""Weight files to tensors: safetensors or pickles, whole or sharded, under the names of today.

Pickles are only ever read with torch's weights_only, so that a file cannot run code. Tensors are read when
they are asked for, and a file is open only meanwhile: reading a model layer by layer needs the memory of one
layer.
"""

import json
import pickle
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain.errors import CheckpointError

if TYPE_CHECKING:
    import torch

HEAD, EMBEDDING, POSITIONS = "lm_head.weight", "transformer.wte.weight", "transformer.wpe.weight"
TRUNK = ("wte.", "wpe.", "h.", "ln_f.")
BUFFERS = (".attn.bias", ".attn.masked_bias")  # causal masks that old releases stored
UNPICKLING = (
    *(OSError, EOFError, RuntimeError, pickle.UnpicklingError),
    *(ValueError, KeyError, IndexError, TypeError, AttributeError),
)  # what torch.load raises for files that are no checkpoints


class TensorFiles:
    """The tensors of a folder or a weight file; `shapes` has those of all, by today's names."""

    def __init__(self, path: Path) -> None:
        """Look into the files.

        Raises:
            CheckpointError: one is missing, malformed or refused.
        """
        self.path = path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._places: dict[str, tuple[Path, str]] = {}  # today's name -> file and the name in it
        for file in weight_files(path):
            for name, shape in _shapes(file).items():
                if not name.endswith(BUFFERS):
                    self.shapes[name_of_today(name)] = shape
                    self._places[name_of_today(name)] = (file, name)
        if (
            HEAD in self.shapes and EMBEDDING not in self.shapes
        ):  # a tied pair may be stored under either name
            self.shapes[EMBEDDING], self._places[EMBEDDING] = self.shapes[HEAD], self._places[HEAD]

    def get(self, names: Iterable[str]) -> "dict[str, torch.Tensor]":
        """Some tensors, as stored; they may be views of a mapped file.

        Raises:
            CheckpointError: a file is gone or broken.
            KeyError: there is no such name.
        """
        wanted: dict[Path, dict[str, str]] = {}
        for name in names:
            file, stored = self._places[name]
            wanted.setdefault(file, {})[stored] = name
        found: dict[str, torch.Tensor] = {}
        for file, stored_names in wanted.items():
            tensors = _read(file, stored_names)
            found.update({stored_names[stored]: tensor for stored, tensor in tensors.items()})
        return found


def name_of_today(name: str) -> str:
    """Source: the loader of DialoGPT (61194e4) strips module. and ties lm_head.decoder to the embedding."""
    name = name.removeprefix("module.").replace("lm_head.decoder.", "lm_head.")
    return f"transformer.{name}" if name.startswith(TRUNK) else name


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises CheckpointError naming the file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return values


def weight_files(path: Path) -> list[Path]:
    """The files with the weights of a folder, or `path` itself when it is one. Raises CheckpointError."""
    if path.is_file():
        return [path]
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return [path / name]
        if (path / f"{name}.index.json").is_file():
            return _shards(path / f"{name}.index.json")
    raise CheckpointError(f"{path} holds no model: no model.safetensors nor pytorch_model.bin")


def _shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or any(Path(str(name)).name != name for name in weight_map.values()):
        raise CheckpointError(f'{index} has no "weight_map" of files beside it')
    return [index.parent / name for name in sorted(set(weight_map.values()))]


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    if file.suffix != ".safetensors":
        return {name: tuple(tensor.shape) for name, tensor in _unpickle(file).items()}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error


def _read(file: Path, names: Iterable[str]) -> "dict[str, torch.Tensor]":
    if file.suffix != ".safetensors":
        tensors = _unpickle(file)
        return {name: tensors[name] for name in names}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error


def _unpickle(path: Path) -> "dict[str, torch.Tensor]":
    """All tensors, mapped rather than read where the format allows it."""
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):
            try:
                state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:  # of before torch 1.6, which cannot be mapped
                state = torch.load(path, map_location="cpu", weights_only=True)
    except UNPICKLING as error:  # whose text would advise to switch the protection off
        raise CheckpointError(
            f"{path} is no plain file of weights: it is damaged, or could run code when opened and is refused"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is no state dict: it must map names to tensors")
    return {str(name): value for name, value in state.items()}
