"""A reply by transformers' own `generate`, and MMI as gpt2bot does it, or in one batch.

naive: the reverse model reads the candidates one by one and computes all logits, as the loss of a labelled
sequence does (gpt2bot, generate_scores). batched: one pass over all, logits of the source alone.
Several chats are answered one after the other, or as one batch; all prompts are equally long, which spares
the batch its padding.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from server import END_ID, Clock, Stages, arguments, random_ids, serve
from torch import Tensor
from transformers import GPT2LMHeadModel
from transformers.utils import logging


def load(folder: Path, dtype: str) -> Any:
    """The model as anybody would load it."""
    logging.disable_progress_bar()
    return GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()


def generate(model: Any, prompts: Tensor, num_candidates: int, num_tokens: int) -> Tensor:
    """Top-k 10 sampling of exactly `num_tokens` tokens, int64 [prompts * num_candidates, num_tokens]."""
    output = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=True,
        top_k=10,
        num_return_sequences=num_candidates,
        min_new_tokens=num_tokens,
        max_new_tokens=num_tokens,
        pad_token_id=END_ID,
    )
    new: Tensor = output[:, prompts.shape[1] :]
    assert new.shape == (len(prompts) * num_candidates, num_tokens)
    return new


def reverse_inputs(candidates: Tensor, source: list[int]) -> Tensor:
    """Candidate, end token, source: int64 [candidates, new tokens + 1 + source]."""
    tail = torch.tensor([END_ID, *source]).expand(len(candidates), -1)
    return torch.cat([candidates, tail], dim=1)


def score_naively(model: Any, ids: Tensor, source_len: int) -> list[float]:
    """Mean loss of the source behind each candidate."""
    labels = ids.clone()
    labels[:, :-source_len] = -100
    pairs = zip(ids, labels, strict=True)
    return [model(input_ids=one[None], labels=label[None]).loss.item() for one, label in pairs]


def score_in_a_batch(model: Any, ids: Tensor, source_len: int) -> list[float]:
    """The same for all at once."""
    logits = model(input_ids=ids, logits_to_keep=source_len + 1, use_cache=False).logits[:, :-1].float()
    losses = F.cross_entropy(logits.flatten(0, 1), ids[:, -source_len:].flatten(), reduction="none")
    means: list[float] = losses.view(len(ids), source_len).mean(1).tolist()
    return means


def main() -> None:
    """Load and serve."""
    args = arguments(
        ("--dtype", ("float32", "bfloat16")),
        ("--mmi", ("none", "naive", "batched")),
        ("--together", ("one-by-one", "batch")),
    )
    forward = load(args.folder, args.dtype)
    reverse = load(args.folder, args.dtype) if args.mmi != "none" else None
    score = score_naively if args.mmi == "naive" else score_in_a_batch

    @torch.inference_mode()
    def run() -> Stages:
        prompts = torch.tensor([random_ids(args.history) for _ in range(args.chats)])
        source = random_ids(args.source)
        clock, stages = Clock(), {}
        parts = [prompts] if args.together == "batch" else list(prompts.split(1))
        drawn = torch.cat([generate(forward, part, args.candidates, args.new_tokens) for part in parts])
        stages["generate"] = clock.read()
        if reverse is not None:
            score(reverse, reverse_inputs(drawn, source), args.source)
            stages["mmi"] = clock.read()
        return stages

    serve(run, args.chats)


if __name__ == "__main__":
    main()
