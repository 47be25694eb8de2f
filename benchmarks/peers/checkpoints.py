"""Real checkpoint folders with random weights: GPT-2 shapes, 50257 tokens, safetensors in float32."""

import importlib
from pathlib import Path

import torch
from tokenizers import Tokenizer, models
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

VOCAB_SIZE, END = 50257, "<|endoftext|>"
SIZES = {  # layers, width, heads
    "tiny": (2, 64, 2),  # to see that everything runs
    "small": (12, 768, 12),
    "medium": (24, 1024, 16),
}


def make(folder: Path, size: str, seed: int = 0) -> Path:
    """Write config.json, model.safetensors and a tokenizer whose words are numbers; returns the folder."""
    layers, width, heads = SIZES[size]
    config = GPT2Config(vocab_size=VOCAB_SIZE, n_positions=1024, n_layer=layers, n_embd=width, n_head=heads)
    torch.manual_seed(seed)
    GPT2LMHeadModel(config).save_pretrained(folder)
    words = {str(token): token for token in range(VOCAB_SIZE - 1)} | {END: VOCAB_SIZE - 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=END))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END
    ).save_pretrained(folder)  # CTranslate2 wants one
    return folder


def converted(folder: Path, compute: str) -> Path:
    """The same model as CTranslate2 keeps it, made once; `compute` is float32 or int8."""
    target = folder.with_name(f"{folder.name}-ctranslate2-{compute}")
    if not target.is_dir():
        converters = importlib.import_module("ctranslate2.converters")
        converters.TransformersConverter(str(folder)).convert(str(target), quantization=compute)
    return target
