"""Folders of LoRA weights in PEFT's format to what the engine lays over its base.

Source: peft 0.21, `tuners/lora`: y = W x + scale · B A x with scale alpha / rank, or alpha / sqrt(rank) for
rank-stabilised LoRA (Kalajdzievski 2023). `fan_in_fan_out` tells peft how W is stored; A and B lie the same
either way.
"""

import math
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain.checkpoint import Role, locate
from brain.errors import CheckpointError, OtherBase
from brain.hub import is_hub_id
from brain.lora import ADAPTER_CONFIG, BASE_FILE, hash_of_weights, require_same_base
from brain.tensors import TensorFiles, read_json

if TYPE_CHECKING:
    from torch import Tensor

    from brain.engine.lora import Place, StoredLora

WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_NAME = re.compile(
    r"base_model\.model\.(transformer\.h\.(\d+)\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj))"
    r"\.lora_([AB])\.weight"
)
_MUST_BE_OFF = (
    *("use_dora", "modules_to_save", "lora_bias", "layer_replication", "target_parameters"),
    *("trainable_token_indices", "alora_invocation_tokens", "use_qalora", "use_bdlora", "arrow_config"),
    *("kasa_config", "velora_config", "monteclora_config", "megatron_config"),
)  # what changes the arithmetic, or trains more than A and B
_BASE_CHANGED = ("pissa", "olora", "corda", "loftq", "lora_ga")  # initialisations that alter the base too


class LoraFolders:
    """`brain.engine.shelf.LoraSource` for one base model, whose hash is computed once."""

    def __init__(self, base: str, role: Role) -> None:
        """Name the base as it was loaded."""
        self._base, self._role = base, role
        self._hash = ""
        self._downloaded: dict[str, Path] = {}  # by hub id: the hub is asked once

    def version(self, name: str) -> Hashable:
        """Places, sizes and times of change of the files. Raises CheckpointError: there are none."""
        folder = self._folder(name)
        try:
            files = [folder / file for file in (ADAPTER_CONFIG, _weights(folder).name, BASE_FILE)]
            states = [(file, file.stat()) for file in files if file.name != BASE_FILE or file.is_file()]
        except OSError as error:
            raise CheckpointError(
                f"{folder} holds no LoRA weights: {error.strerror} {ADAPTER_CONFIG}"
            ) from error
        return tuple((str(file), now.st_mtime_ns, now.st_size, now.st_ino) for file, now in states)

    def read(self, name: str) -> "StoredLora":
        """The weights as they are stored.

        Raises:
            OtherBase: they were trained on another base than this one.
            CheckpointError: they are missing, damaged, or use what cannot be done per chat.
        """
        from brain.engine.lora import StoredLora

        folder, version = self._folder(name), self.version(name)
        config = read_json(folder / ADAPTER_CONFIG)
        self._require_base(folder)
        _require_plain(folder / ADAPTER_CONFIG, config)
        found = TensorFiles(_weights(folder))
        tensors = found.get(found.shapes)
        parts: dict[Place, tuple[Tensor, Tensor, float]] = {}
        for key, a in tensors.items():
            match = _NAME.fullmatch(key)
            if match is None:
                raise CheckpointError(
                    f"{found.path}: {key} is not among the matrices that can be changed per chat"
                )
            if match[4] == "B":
                continue
            b = tensors.get(key.replace("lora_A", "lora_B"))
            if b is None or a.dim() != 2 or b.dim() != 2 or a.shape[0] != b.shape[1] or not a.shape[0]:
                raise CheckpointError(f"{found.path}: {match[1]} has no A and B that fit together")
            parts[int(match[2]), match[3]] = (a, b, _scale(config, match[1], a.shape[0], folder))
        if 2 * len(parts) != len(tensors) or not parts:
            raise CheckpointError(f"{found.path}: a matrix has no A and B that fit together")
        return StoredLora(str(folder), version, parts)

    def _folder(self, name: str) -> Path:
        if name in self._downloaded:
            return self._downloaded[name]
        if Path(name).is_absolute() and not Path(name).exists():
            raise CheckpointError(f"there are no LoRA weights at '{name}'; check lora in persona.toml")
        folder = locate(name, self._role)
        if not Path(name).expanduser().exists() and is_hub_id(name):
            self._downloaded[name] = folder
        return folder

    def _require_base(self, folder: Path) -> None:
        path = locate(self._base, self._role)
        if (path / ADAPTER_CONFIG).is_file():
            raise OtherBase(
                f"{folder}: the model {self._base} is LoRA weights merged into their base already; "
                f"start with the base itself to lay these over it"
            )

        def hash_of_base() -> str:
            self._hash = self._hash or hash_of_weights(path)
            return self._hash

        require_same_base(folder, self._base, hash_of_base)


def _weights(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder} holds no LoRA weights: there is no {WEIGHT_FILES[0]}")


def _require_plain(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse kinds of LoRA that are more than A and B. Raises CheckpointError."""
    kind, bias, start = (config.get(key) for key in ("peft_type", "bias", "init_lora_weights"))
    strange = [key for key in _MUST_BE_OFF if config.get(key)]
    if kind not in (None, "LORA"):
        strange.append(f"peft_type {kind}")
    if bias not in (None, "none"):
        strange.append(f"bias {bias}")
    if isinstance(start, str) and start.lower().startswith(_BASE_CHANGED):
        strange.append(f"init_lora_weights {start}")
    if strange:
        raise CheckpointError(
            f"{file}: {', '.join(strange)} cannot be chosen per chat; start with --model {file.parent}, "
            f"which merges the weights into their base, or train them without"
        )


def _scale(config: Mapping[str, Any], module: str, rank: int, folder: Path) -> float:
    """What B A is multiplied by; `alpha_pattern` may say otherwise for some modules."""
    alpha = _by_pattern(config.get("alpha_pattern") or {}, module, config.get("lora_alpha", 8))
    said = _by_pattern(config.get("rank_pattern") or {}, module, config.get("r", rank))
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or said != rank:
        raise CheckpointError(
            f"{folder / ADAPTER_CONFIG} says rank {said} and alpha {alpha} for {module}, whose weights have "
            f"rank {rank}"
        )
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """Source: peft's `get_pattern_key`: a key is the end of a module's name, or a pattern for it."""
    for key, value in patterns.items():
        if re.fullmatch(rf"(.*\.)?({key})", module):
            return value
    return default
