"""Which base LoRA weights were trained on: noted beside them, checked whenever they are loaded."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from brain.errors import CheckpointError, OtherBase
from brain.tensors import read_json, weight_files

ADAPTER_CONFIG = "adapter_config.json"
BASE_FILE = "base.json"  # beside adapter_config.json, whose keys belong to peft


def hash_of_weights(path: Path) -> str:
    """SHA-256 over the weight files of a model folder (or of a single file), in order of their names.

    Raises:
        CheckpointError: there are none, or one cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for file in sorted(weight_files(path)):
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return digest.hexdigest()


def note_base(folder: Path, base: str, path: Path, *, reverse: bool) -> None:
    """Write into a folder of LoRA weights which ones they were trained on.

    Args:
        base: the name to load it by; a folder is noted with its whole path, which holds wherever one stands.
        path: where it lies.
    """
    name = str(Path(base).expanduser().resolve()) if base != "starter" and Path(base).exists() else base
    noted = {"base": name, "reverse": reverse, "sha256": hash_of_weights(path)}
    (folder / BASE_FILE).write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")
    config = read_json(folder / ADAPTER_CONFIG) | {"base_model_name_or_path": name}
    (folder / ADAPTER_CONFIG).write_text(
        json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )


def require_same_base(folder: Path, base: str, hash_of_base: Callable[[], str]) -> None:
    """Check that the base is the one that the LoRA weights in `folder` were trained on.

    LoRA weights of other programs note none and are taken as they are.

    Args:
        base: its name.
        hash_of_base: `hash_of_weights` of it, asked for only when one was noted.
    Raises:
        OtherBase: it is another.
        CheckpointError: what was noted, or the base, cannot be read.
    """
    if not (folder / BASE_FILE).is_file():
        return
    noted = read_json(folder / BASE_FILE)
    if noted.get("sha256") != hash_of_base():
        which = "a reverse model" if noted.get("reverse") else "a forward model"
        raise OtherBase(
            f"{folder}: LoRA weights of another base: they were trained on {which} named "
            f"{noted.get('base')}, and {base} has other weights by now or here; train them again"
        )
