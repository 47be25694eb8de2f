"""One token per row, drawn with a random stream of the row's own.

Greedy decoding is the case top_k = 1 with the uniform number 0: the likeliest token, and among equals the one
with the lowest id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

import torch
from torch import Tensor

from brain.config import DecodingConfig
from brain.decoding import logits as filters


def uniform_streams(seed: int, prompt_ids: Sequence[int], num_rows: int, num_steps: int) -> list[list[float]]:
    """Uniform numbers in [0, 1) for each candidate and step of one request.

    They depend on the seed, the prompt, the candidate and the step alone, so a request draws the same tokens
    in any company, and its first candidates do not change when more are asked for. Many prompts under one
    seed are drawn independently of each other.

    Returns:
        num_rows lists of num_steps numbers.
    """
    prompt = blake2b(repr(tuple(prompt_ids)).encode(), digest_size=8).hexdigest()
    streams = [Random(f"{seed} {prompt} {row}") for row in range(num_rows)]
    return [[stream.random() for _ in range(num_steps)] for stream in streams]


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Draw a column of each row by inverting its cumulative distribution.

    The sum runs over the columns in their given order, in float64: noise in the last digits of a logit then
    moves only the boundaries between tokens, and hardly ever changes which one is drawn.

    Args:
        logits: float32 [rows, columns], with -inf for what may not be drawn and one finite logit at least.
        uniform: float64 [rows], in [0, 1).
    Returns:
        int64 [rows]; never a column with probability 0.
    """
    cumulative = logits.double().softmax(-1).cumsum(-1)  # [rows, columns]
    total = cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, uniform.unsqueeze(1) * total, right=True)
    last = (cumulative < total).sum(-1, keepdim=True)  # when the product above rounds up to the total
    return drawn.minimum(last).squeeze(1)


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """Temperature, top k and top p per row: float32 [rows], int64 [rows], float32 [rows]."""

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor


def settings_from_decodings(
    decodings: Sequence[DecodingConfig], device: torch.device | str = "cpu"
) -> SamplingSettings:
    """One row per decoding; all but `sample` and `mmi` take the likeliest token."""
    rows = [
        (d.temperature, d.top_k, d.top_p) if d.method in ("sample", "mmi") else (1.0, 1, 1.0)
        for d in decodings
    ]
    temperature, top_k, top_p = zip(*rows, strict=True)
    return SamplingSettings(
        torch.tensor(temperature, dtype=torch.float32, device=device),
        torch.tensor(top_k, dtype=torch.int64, device=device),
        torch.tensor(top_p, dtype=torch.float32, device=device),
    )


def sample(logits: Tensor, settings: SamplingSettings, uniform: Tensor) -> Tensor:
    """Top k, temperature, top p, then one draw per row.

    Args:
        logits: float32 [rows, columns].
        uniform: float64 [rows], in [0, 1).
    Returns:
        Columns, int64 [rows].
    """
    logits = filters.keep_top_k(logits, settings.top_k)
    logits = filters.apply_temperature(logits, settings.temperature)
    if bool(((settings.top_p > 0) & (settings.top_p < 1)).any()):
        logits = filters.keep_top_p(logits, settings.top_p)
    return draw(logits, uniform)
