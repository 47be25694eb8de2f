import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from brain.checkpoint import Loaded, load, load_talker, placement
from brain.encoding import TurnEncoder, train_encoder
from brain.engine.causal import CausalModel
from brain.errors import CheckpointError, ConfigError
from brain.protocols import Span
from brain.testing import SENTENCES, tiny_encoder, tiny_gpt2

IDS = torch.tensor([[5, 6, 7, 0, 9]])


@pytest.fixture(scope="module")
def encoder() -> TurnEncoder:
    return tiny_encoder()


@pytest.fixture(scope="module")
def model(encoder: TurnEncoder) -> GPT2LMHeadModel:
    return tiny_gpt2(encoder)


@pytest.fixture
def folder(tmp_path: Path, model: GPT2LMHeadModel, encoder: TurnEncoder) -> Path:
    return saved(tmp_path / "model", model, encoder)


def saved(folder: Path, model: GPT2LMHeadModel, encoder: TurnEncoder | None) -> Path:
    model.save_pretrained(folder)
    if encoder is not None:
        encoder.save(folder / "tokenizer.json")
    return folder


def forward(name: Path | str, **options: Any) -> Loaded:
    return load(str(name), role="forward", device="cpu", **options)


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = model.eval()(IDS).logits.float()
    return out


def test_the_tokenizer_may_be_vocab_json_and_merges_txt(folder: Path, encoder: TurnEncoder) -> None:
    bpe = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(bpe["vocab"]))
    (folder / "merges.txt").write_text("\n".join(" ".join(pair) for pair in bpe["merges"]))

    assert forward(folder).encoder.encode_turn(SENTENCES[0]) == encoder.encode_turn(SENTENCES[0])


def test_a_folder_loads_with_its_weights_and_its_tokenizer(
    folder: Path, model: GPT2LMHeadModel, encoder: TurnEncoder
) -> None:
    loaded = forward(folder)

    assert loaded.name == str(folder)
    assert torch.equal(logits(loaded.model), logits(model))
    assert loaded.encoder.encode_turn("tea?") == encoder.encode_turn("tea?")


def test_a_tokenizer_with_more_entries_than_the_model_has_rows_is_refused(folder: Path) -> None:
    train_encoder(SENTENCES, vocab_size=320).save(folder / "tokenizer.json")

    with pytest.raises(CheckpointError, match="the tokenizer has 320 entries, the model only 300"):
        forward(folder)


def test_a_tokenizer_with_fewer_entries_is_taken_for_padding(folder: Path) -> None:
    train_encoder(SENTENCES, vocab_size=299).save(folder / "tokenizer.json")

    assert forward(folder).encoder.vocab_size == 299


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()

    with pytest.raises(CheckpointError, match=r"model: no tokenizer; put tokenizer\.json"):
        forward(folder)


def test_a_weight_file_takes_the_tokenizer_beside_it(
    folder: Path, model: GPT2LMHeadModel, encoder: TurnEncoder
) -> None:
    loaded = forward(folder / "model.safetensors")

    assert torch.equal(logits(loaded.model), logits(model))
    assert loaded.encoder.vocab_size == encoder.vocab_size


@pytest.mark.parametrize("name", ["model.pkl", "./runs/none", "", " ", "a/b/c", "no\0name", "x" * 5000])
def test_a_name_that_can_only_be_local_and_is_not_there_is_told_without_asking_the_hub(name: str) -> None:
    with pytest.raises(CheckpointError, match="there is no model at"):
        forward(name)


def test_a_missing_folder_beside_existing_ones_is_told_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(CheckpointError, match="there is no model at 'runs/none'"):
        forward("runs/none")


def pair(folder: Path, encoder: TurnEncoder) -> dict[str, GPT2LMHeadModel]:
    models = {"forward": tiny_gpt2(encoder, seed=1), "reverse": tiny_gpt2(encoder, seed=2)}
    for role, model in models.items():
        saved(folder / role, model, None)
    encoder.save(folder / "tokenizer.json")
    return models


def test_the_starter_is_a_pair_that_shares_its_tokenizer(tmp_path: Path, encoder: TurnEncoder) -> None:
    models = pair(tmp_path, encoder)

    there = load("starter", role="forward", device="cpu", starter=tmp_path)
    back = load("starter", role="reverse", device="cpu", starter=tmp_path)

    assert torch.equal(logits(there.model), logits(models["forward"]))
    assert torch.equal(logits(back.model), logits(models["reverse"]))
    assert (
        there.encoder.encode_turn("tea?") == back.encoder.encode_turn("tea?") == encoder.encode_turn("tea?")
    )


def test_any_folder_may_hold_a_pair(tmp_path: Path, encoder: TurnEncoder) -> None:
    models = pair(tmp_path, encoder)

    loaded = load(str(tmp_path), role="reverse", device="cpu")

    assert torch.equal(logits(loaded.model), logits(models["reverse"]))


def test_an_installation_without_starter_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the starter model is missing"):
        load("starter", role="forward", starter=tmp_path)


@pytest.mark.parametrize("role", ["forward", "reverse"])
def test_the_embedded_starter_predicts_english_better_than_chance(role: Any) -> None:
    loaded = load("starter", role=role, device="cpu")
    ids = torch.tensor([[loaded.encoder.end_id, *loaded.encoder.encode_turn("How are you doing today?")]])

    with torch.inference_mode():
        output: Any = loaded.model(ids, labels=ids)

    assert output.loss.item() < 0.75 * torch.tensor(float(loaded.encoder.vocab_size)).log().item()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_dtype_asked_for_is_the_dtype_given(folder: Path, dtype: str) -> None:
    assert forward(folder, dtype=dtype).model.dtype == getattr(torch, dtype)


def test_to_train_or_convert_auto_means_float32() -> None:
    assert placement("cpu", "auto") == (torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("device", ["meta", "mps", "vulkan"])
def test_a_device_that_cannot_be_used_is_a_configuration_error(device: str) -> None:
    with pytest.raises(ConfigError, match=f"'{device}' is none of auto, cpu, cuda"):
        placement(device, "auto")


def test_a_description_of_a_billion_layers_is_refused_at_once(tmp_path: Path) -> None:
    folder = saved_tiny(tmp_path)
    rewrite_config(folder, n_layer=10**9)

    with pytest.raises(CheckpointError, match="says n_layer 1000000000, but the weights beside it have 2"):
        load_talker(str(folder), device="cpu")


def test_weights_of_another_model_than_described_are_refused(tmp_path: Path) -> None:
    folder = saved_tiny(tmp_path)
    rewrite_config(folder, model_type="llama", hidden_size=32, num_hidden_layers=2, num_attention_heads=4)

    with pytest.raises(
        CheckpointError, match="describes a llama model, but the weights are not those of one"
    ):
        load_talker(str(folder), device="cpu")


def test_a_causal_model_of_another_kind_talks_through_transformers(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    config = LlamaConfig(
        vocab_size=encoder.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    encoder.save(tmp_path / "tokenizer.json")

    talker = load_talker(str(tmp_path), device="cpu")

    assert isinstance(talker.model, CausalModel)
    [logprob] = talker.model.score([Span((1, 2), (3,))])
    assert -50 < logprob < 0


def saved_tiny(folder: Path) -> Path:
    encoder = tiny_encoder()
    tiny_gpt2(encoder).save_pretrained(folder)
    encoder.save(folder / "tokenizer.json")
    return folder


def rewrite_config(folder: Path, **values: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("device", "dtype", "said"),
    [
        ("gpu", "auto", "'gpu' is none of auto, cpu"),
        ("cuda:99", "auto", "no 'cuda:99'"),
        ("cpu", "int8", "'int8' is none of auto, float32"),
    ],
)
def test_a_device_or_dtype_that_is_not_there_is_a_configuration_error(
    device: str, dtype: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        placement(device, dtype)


def lora(folder: Path, base: object) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return folder


def test_lora_weights_without_peft_say_what_to_install(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(CheckpointError, match="LoRA weights need the package peft: pip install peft"):
        forward(lora(tmp_path / "lora", str(folder)))


def test_lora_weights_must_name_a_base_that_is_no_lora_itself(tmp_path: Path) -> None:
    itself = lora(tmp_path / "lora", str(tmp_path / "lora"))

    for folder in (itself, lora(tmp_path / "nameless", None)):
        with pytest.raises(CheckpointError, match="names no base model"):
            forward(folder)


def test_lora_weights_are_merged_into_their_base(tmp_path: Path, folder: Path) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True, init_lora_weights=False)
    tuned = peft.get_peft_model(forward(folder).model, config)
    tuned.save_pretrained(tmp_path / "lora")

    loaded = forward(tmp_path / "lora")

    torch.testing.assert_close(logits(loaded.model), logits(tuned), atol=1e-4, rtol=1e-4)
