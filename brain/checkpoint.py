"""A model's name to its weights and encoder: starter, hub id, local folder, DialoGPT .pkl, LoRA weights."""

import importlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from brain.encoding import TurnEncoder, encoder_from_folder
from brain.errors import CheckpointError, ConfigError
from brain.hub import cached_gpt2_tokenizers, is_hub_id, snapshot
from brain.lora import ADAPTER_CONFIG, hash_of_weights, require_same_base
from brain.tensors import TensorFiles, read_json
from brain.weights import Description, describe, read_model, read_packed

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel

    from brain.engine.model import Model

Role = Literal["forward", "reverse"]
STARTER = Path(__file__).parent / "starter"
RUN_FILE = "run.json"  # of a folder that `banter finetune` wrote; its model lies in model/
MAX_LAYERS = 1000  # of any model that talks
TOKENIZER_FILES = ("tokenizer.json", "merges.txt")
WEIGHT_FILES = (".pkl", ".bin", ".pt", ".pth", ".safetensors")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in evaluation mode, without gradients, and the tokenizer it was trained with."""

    model: "GPT2LMHeadModel"
    encoder: TurnEncoder
    name: str


@dataclass(frozen=True, slots=True)
class Talker:
    """A model ready for an engine, and the tokenizer it was trained with."""

    model: "Model"
    encoder: TurnEncoder
    name: str


def load_talker(
    name: str,
    *,
    role: Role = "forward",
    device: str = "auto",
    dtype: str = "auto",
    keep_bytes: int = 0,
    starter: Path = STARTER,
) -> Talker:
    """Load a model to talk with: GPT-2 into our own forward pass, any other causal model through
    transformers.

    Args:
        name, role, device: as for `load`.
        dtype: as for `load`; auto is 16 bits for larger models on machines that are faster in them.
        keep_bytes: for prompts kept between the turns of a chat.
    Raises:
        CheckpointError, ConfigError: as for `load`.
    """
    path = locate(name, role, starter)
    where, number_format = placement(device, dtype)
    if (path / ADAPTER_CONFIG).is_file():
        from brain.engine.causal import CausalModel
        from brain.engine.gpt2 import gpt2_from_transformers

        loaded = _load_lora(path, name, role, "cpu", "float32")
        if not Description(path, loaded.model.config.to_dict()).is_plain:
            return Talker(CausalModel(_moved(loaded.model, where, number_format)), loaded.encoder, name)
        chosen = None if dtype == "auto" else number_format
        return Talker(gpt2_from_transformers(loaded.model, where, chosen, keep_bytes), loaded.encoder, name)
    description = describe(path)
    if description.is_plain:
        model: Model = read_packed(path, where, None if dtype == "auto" else number_format, keep_bytes)
        return Talker(model, _encoder(path, model.vocab_size), name)
    return _load_causal(path, name, where, number_format)


def load(
    name: str, *, role: Role = "forward", device: str = "auto", dtype: str = "auto", starter: Path = STARTER
) -> Loaded:
    """Load a GPT-2 by name, to train or to convert.

    Args:
        name: starter | a hub id | a folder | a weight file such as the .pkl of the original release |
            a folder with LoRA weights, which are merged into their base | the folder of a training run.
        role: which one of a folder that holds a pair, as the starter does: forward/ and reverse/.
        device: auto | cpu | cuda | cuda:N.
        dtype: auto | float32 | bfloat16 | float16; auto is float32 on every device.
        starter: where the embedded default lies.
    Raises:
        CheckpointError: it cannot be found, read or trusted, or tokenizer and weights do not belong together.
        ConfigError: there is no such device or dtype.
    """
    path = locate(name, role, starter)
    if (path / ADAPTER_CONFIG).is_file():
        return _load_lora(path, name, role, device, dtype)
    model = read_model(path, *placement(device, dtype))
    model.name_or_path = name  # peft writes it into LoRA weights as their base
    return Loaded(model, _encoder(path, model.config.vocab_size), name)


def locate(name: str, role: Role, starter: Path = STARTER) -> Path:
    """The folder or weight file that `name` means, downloaded first when it is a hub id not yet cached.

    Raises:
        CheckpointError: there is none.
    """
    if name == "starter":
        if not (starter / role).is_dir():
            raise CheckpointError(f"the starter model is missing from this installation: no {starter / role}")
        return starter / role
    path = Path(name).expanduser()
    if name.strip() and os.path.exists(path):
        if (path / RUN_FILE).is_file() and (path / "model").is_dir():
            return path / "model"
        return path / role if (path / role).is_dir() else path
    is_path = path.suffix in WEIGHT_FILES or ("/" in name and path.parent.is_dir())
    if is_path or not is_hub_id(name):
        raise CheckpointError(
            f"there is no model at '{name}'; give starter, a hub id, a folder or a .pkl file"
        )
    return snapshot(name)


def has_pair(name: str) -> bool:
    """Whether `name` brings its own reverse model: the starter, or a folder with forward/ and reverse/."""
    folder = Path(name).expanduser()
    return name == "starter" or all((folder / role).is_dir() for role in ("forward", "reverse"))


def placement(device: str, dtype: str) -> tuple["torch.device", "torch.dtype"]:
    """Resolve "auto" and check that the machine has what is asked for.

    Raises:
        ConfigError: it has not, or the name is unknown.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    try:
        where = torch.device(("cuda" if has_cuda else "cpu") if device == "auto" else device)
    except RuntimeError as error:
        raise ConfigError(f"device: '{device}' is none of auto, cpu, cuda, cuda:N") from error
    if where.type not in ("cpu", "cuda"):
        raise ConfigError(f"device: '{device}' is none of auto, cpu, cuda, cuda:N")
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device: this machine has no '{device}'; use auto or cpu")
    known = {
        "auto": torch.float32,  # 16 bits round otherwise in a batch than alone, and other tokens are drawn
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
    }
    if dtype not in known:
        raise ConfigError(f"dtype: '{dtype}' is none of {', '.join(known)}")
    return where, known[dtype]


def _encoder(path: Path, num_rows: int) -> TurnEncoder:
    """Look in the folder, beside it for one of a pair and for a file, for a file in the cache for GPT-2's."""
    folders = [path, path.parent] if path.is_file() or path.name in ("forward", "reverse") else [path]
    for folder in folders:
        if _has_tokenizer(folder):
            encoder = encoder_from_folder(folder)
            if encoder.vocab_size > num_rows:  # fewer is padding, or a corpus too small for the vocabulary
                raise CheckpointError(
                    f"{folder}: the tokenizer has {encoder.vocab_size} entries, the model only {num_rows}"
                )
            return encoder
    for folder in cached_gpt2_tokenizers() if path.is_file() else ():
        encoder = encoder_from_folder(folder)
        if encoder.vocab_size == num_rows:
            return encoder
    raise CheckpointError(
        f"{path}: no tokenizer; put tokenizer.json, or GPT-2's vocab.json and merges.txt, beside the weights"
    )


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def _load_causal(path: Path, name: str, device: "torch.device", dtype: "torch.dtype") -> Talker:
    """A model of any architecture that transformers knows; code that comes with a model is never run."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from brain.engine.causal import CausalModel

    if not path.is_dir():
        raise CheckpointError(f"{path}: a model that is no GPT-2 needs its folder, not a single file")
    cast(Any, disable_progress_bar)()
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        _require_own_weights(path, config)
        model = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=_has_safetensors(path),
            dtype=dtype,
        )
        talker = CausalModel(_moved(model, device, dtype))
    except CheckpointError:
        raise
    except Exception as error:  # whatever a config.json makes a foreign architecture do
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: transformers cannot load this model: {reason}") from error
    return Talker(talker, _encoder(path, talker.vocab_size), name)


def _require_own_weights(path: Path, config: Any) -> None:
    """Refuse weights of another model than described: transformers would draw what is missing at random.

    Half of the names are enough: it stores some architectures under other names than it uses.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if int(getattr(config, "num_hidden_layers", 0) or 0) > MAX_LAYERS:
        raise CheckpointError(f"{path}: config.json asks for {config.num_hidden_layers} layers")
    found = TensorFiles(path).shapes
    with torch.device("meta"):
        model = cast(Any, AutoModelForCausalLM).from_config(config, trust_remote_code=False)
    expected = {key: tuple(weight.shape) for key, weight in model.state_dict().items()}
    num_same = sum(found.get(key) == shape for key, shape in expected.items())
    if 2 * num_same < len(expected):
        raise CheckpointError(
            f"{path}: config.json describes a {config.model_type} model, but the weights are not those of one"
        )


def _moved(model: Any, device: "torch.device", dtype: "torch.dtype") -> Any:
    """Without gradients; the methods of transformers' models are not typed."""
    return model.to(device, dtype).requires_grad_(False)


def _has_safetensors(path: Path) -> bool | None:
    """True for safetensors; else transformers decides, which reads pickles as weights only."""
    return True if any(path.glob("*.safetensors")) else None


def _load_lora(folder: Path, name: str, role: Role, device: str, dtype: str) -> Loaded:
    base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(base, str) or os.path.exists(Path(base) / ADAPTER_CONFIG):
        raise CheckpointError(f"{folder / ADAPTER_CONFIG} names no base model to add the LoRA weights to")
    if importlib.util.find_spec("peft") is None:
        raise CheckpointError(f"{folder}: LoRA weights need the package peft: pip install peft")
    at = locate(base, role)
    require_same_base(folder, base, lambda: hash_of_weights(at))
    loaded = load(base, role=role, device=device, dtype=dtype)
    peft = importlib.import_module("peft")
    try:
        merged = peft.PeftModel.from_pretrained(loaded.model, str(folder)).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: the LoRA weights do not fit {base}: {error}") from error
    encoder = encoder_from_folder(folder) if _has_tokenizer(folder) else loaded.encoder
    return Loaded(merged.eval().requires_grad_(False), encoder, name)
