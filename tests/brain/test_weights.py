import json
import os
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from brain.errors import CheckpointError
from brain.weights import read_model, read_packed

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 6, 7, 0, 9]])
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model() -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=300, n_positions=32, n_embd=128, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GPT2LMHeadModel(config)


@pytest.fixture
def folder(tmp_path: Path, model: GPT2LMHeadModel) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def read(path: Path) -> GPT2LMHeadModel:
    return read_model(path, torch.device("cpu"), torch.float32)


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = model.eval()(IDS).logits.float()
    return out


def as_original(state: State, prefix: str = "module.") -> State:
    """As in the original release: a prefix of DataParallel, the head under a decoder, masks as buffers."""
    renamed = {f"{prefix}{name}": weight.half() for name, weight in state.items()}
    renamed[f"{prefix}lm_head.decoder.weight"] = renamed.pop(f"{prefix}lm_head.weight")
    renamed[f"{prefix}transformer.h.0.attn.bias"] = torch.ones(1, 1, 32, 32)
    return renamed


def trunk_only(state: State) -> State:
    trunk = {name: weight for name, weight in state.items() if name.startswith("transformer.")}
    return {name.removeprefix("transformer."): weight for name, weight in trunk.items()}


def test_a_folder_loads_with_the_weights_it_was_saved_with(folder: Path, model: GPT2LMHeadModel) -> None:
    loaded = read(folder)

    assert torch.equal(logits(loaded), logits(model))


def test_a_loaded_model_is_tied_frozen_and_in_evaluation_mode(folder: Path) -> None:
    loaded = read(folder)

    assert loaded.lm_head.weight is loaded.transformer.wte.weight
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())


@pytest.mark.parametrize("max_shard_size", ["5GB", "200KB"])
def test_whole_and_sharded_safetensors_give_the_same_model(
    folder: Path, model: GPT2LMHeadModel, max_shard_size: str
) -> None:
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size=max_shard_size)

    assert torch.equal(logits(read(folder)), logits(model))


def test_pytorch_model_bin_loads(folder: Path, model: GPT2LMHeadModel) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")

    assert torch.equal(logits(read(folder)), logits(model))


def test_sharded_pytorch_bins_load(folder: Path, model: GPT2LMHeadModel) -> None:
    (folder / "model.safetensors").unlink()
    names = sorted(model.state_dict())
    files = {name: f"pytorch_model-0000{1 + index % 2}-of-00002.bin" for index, name in enumerate(names)}
    for file in set(files.values()):
        part = {name: model.state_dict()[name] for name in names if files[name] == file}
        torch.save(part, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": files}))

    assert torch.equal(logits(read(folder)), logits(model))


def test_a_shard_index_cannot_point_outside_its_folder(folder: Path) -> None:
    shutil.move(folder / "model.safetensors", folder.parent / "other.safetensors")
    index = {"weight_map": {"transformer.wte.weight": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(CheckpointError, match="weight_map"):
        read(folder)


@pytest.mark.parametrize(
    "renamed",
    [as_original, lambda state: as_original(state, ""), trunk_only],
    ids=["module.", "bare", "trunk"],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pkl_of_the_original_release_loads_with_its_shape_inferred(
    tmp_path: Path,
    model: GPT2LMHeadModel,
    renamed: Callable[[State], State],
    is_zip: bool,
) -> None:
    half = {name: weight.half() for name, weight in model.state_dict().items()}
    torch.save(renamed(half), tmp_path / "small_ft.pkl", _use_new_zipfile_serialization=is_zip)

    loaded = read(tmp_path / "small_ft.pkl")

    assert loaded.config.n_head == 2  # 128 wide, 64 per head
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(logits(loaded), logits(model), atol=5e-3, rtol=0)


def test_a_config_beside_a_pkl_gives_what_shapes_cannot_tell(tmp_path: Path, model: GPT2LMHeadModel) -> None:
    torch.save(as_original(model.state_dict()), tmp_path / "small_ft.pkl")
    (tmp_path / "config.json").write_text(json.dumps({**model.config.to_dict(), "n_head": 4}))

    assert read(tmp_path / "small_ft.pkl").config.n_head == 4


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.target}",))


@pytest.mark.parametrize("name", ["model.pkl", "model/pytorch_model.bin"])
@pytest.mark.parametrize("write", [partial(pickle.dump, protocol=2), torch.save], ids=["pickle", "torch"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_none(
    tmp_path: Path, folder: Path, name: str, write: Callable[[Any, Any], None]
) -> None:
    (folder / "model.safetensors").unlink()
    with (tmp_path / name).open("wb") as file:
        write({"transformer.wte.weight": Malicious(tmp_path / "run")}, file)

    with pytest.raises(CheckpointError, match="run code when opened and is refused") as caught:
        read(tmp_path / name if name.endswith("pkl") else folder)

    assert str(tmp_path / name) in str(caught.value)
    assert not (tmp_path / "run").exists()


def drop_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:1000])


def lose_a_layer(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layer": 3}))


def widen(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_embd": 192}))


def be_llama(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def mistype_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"n_layer": "two"}')


def divide_badly(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_head": 3}))


def be_no_language_model(folder: Path) -> None:
    save_file({"score.weight": torch.zeros(1, 2)}, folder / "model.safetensors")
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (drop_weights, "holds no model: no model.safetensors"),
        (cut_weights, "model.safetensors cannot be read"),
        (lose_a_layer, "says n_layer 3, but the weights beside it have 2 layers"),
        (widen, "does not fit its description"),
        (be_llama, "config.json describes a model of type 'llama', not gpt2"),
        (break_config, "config.json cannot be read"),
        (mistype_config, "config.json is no description of a GPT-2"),
        (divide_badly, "config.json is no description of a GPT-2"),
        (be_no_language_model, "holds no GPT-2"),
    ],
)
def test_a_folder_that_is_no_checkpoint_is_refused_in_one_sentence(
    folder: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(folder)

    with pytest.raises(CheckpointError) as caught:
        read(folder)

    assert said in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer_norm_epsilon", "small"),
        ("layer_norm_epsilon", 0.0),
        ("layer_norm_epsilon", True),
        ("tie_word_embeddings", "yes"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(folder: Path, key: str, value: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))

    with pytest.raises(
        CheckpointError, match=f"config.json is no description of a GPT-2: {key} is {value!r}"
    ):
        read_packed(folder, CPU, torch.float32)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(folder: Path, bad: float) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["transformer.h.1.mlp.c_fc.weight"][3, 5] = bad
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(CheckpointError, match=r"h\.1\.mlp\.c_fc\.weight holds values that are no numbers"):
        read_packed(folder, CPU, torch.float32)


@pytest.mark.parametrize("shape", [(5,), (5, 4, 3)])
def test_embeddings_of_another_shape_are_no_gpt2(tmp_path: Path, shape: tuple[int, ...]) -> None:
    torch.save({"wte.weight": torch.zeros(shape), "wpe.weight": torch.zeros(2, 4)}, tmp_path / "model.pkl")

    with pytest.raises(CheckpointError, match="holds no GPT-2"):
        read(tmp_path / "model.pkl")


@pytest.mark.parametrize("stored", [[torch.zeros(2)], {"wte.weight": [1, 2]}, torch.zeros(2)])
def test_a_pkl_that_is_no_state_dict_is_refused(tmp_path: Path, stored: object) -> None:
    torch.save(stored, tmp_path / "model.pkl")

    with pytest.raises(CheckpointError, match="no state dict"):
        read(tmp_path / "model.pkl")
