"""Spans side by side for one forward pass, padded only where attention needs a rectangle."""

from collections.abc import Sequence

import torch
from torch import Tensor

from brain.engine.attention import attend_causally
from brain.protocols import Span

_MAX_TOKENS = 448  # of a chunk: more would leave the cache, fewer would read the weights more often


class PackedSpans:
    """Token ids, positions and targets of some spans, flat.

    `ids` and `positions` are int64 [tokens]: every span's tokens but its last, which predicts nothing.
    `predicting` int64 [target tokens] are the places whose next token is a target, `targets` those tokens.
    """

    def __init__(self, spans: Sequence[Span], device: torch.device) -> None:
        whole = [[*span.context, *span.target] for span in spans]
        lens = [len(tokens) - 1 for tokens in whole]
        ids = [token for tokens in whole for token in tokens[:-1]]
        positions = [place for num in lens for place in range(num)]
        predicting: list[int] = []
        targets: list[int] = []
        at = 0
        for span, num in zip(spans, lens, strict=True):
            predicting += range(at + len(span.context) - 1, at + num)
            targets += span.target
            at += num
        columns = (ids, positions, predicting, targets)
        self.ids, self.positions, self.predicting, self.targets = (
            torch.tensor(column, dtype=torch.int64, device=device) for column in columns
        )
        num_tokens, longest = len(ids), max(lens)
        self._shape = (len(spans), longest)
        starts = torch.tensor(lens, device=device).cumsum(0) - torch.tensor(lens, device=device)
        grid = starts.unsqueeze(1) + torch.arange(longest, device=device)  # runs into the next span: hidden
        self._grid = grid.clamp_max(num_tokens - 1).flatten()  # [spans * longest], places of tokens
        row_of = torch.repeat_interleave(
            torch.arange(len(spans), device=device), torch.tensor(lens, device=device)
        )
        self._ungrid = row_of * longest + self.positions  # [tokens], places in the grid
        self._is_even = min(lens) == longest

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention within each span: [tokens, heads, head_size] to [tokens, heads * head_size].

        What stands right of a span in its row belongs to others, and no query of the span looks to the right.
        """
        if self._is_even:
            rows = (part.view(*self._shape, *part.shape[1:]).transpose(1, 2) for part in (q, k, v))
            return attend_causally(*rows).transpose(1, 2).flatten(0, 1).flatten(1)
        rows = (
            part[self._grid].view(*self._shape, *part.shape[1:]).transpose(1, 2) for part in (q, k, v)
        )  # [spans, heads, longest, head_size]
        mixed = attend_causally(*rows).transpose(1, 2).flatten(0, 1)
        return mixed[self._ungrid].flatten(1)


def chunks_of_like_length(spans: Sequence[Span], max_tokens: int = _MAX_TOKENS) -> list[list[int]]:
    """Cut spans, sorted by length, into groups of at most so many tokens; returns their indices."""
    chunks: list[list[int]] = []
    num_tokens = 0
    for index in sorted(range(len(spans)), key=lambda index: span_len(spans[index])):
        length = span_len(spans[index])
        if not chunks or num_tokens + length > max_tokens:
            chunks.append([])
            num_tokens = 0
        chunks[-1].append(index)
        num_tokens += length
    return chunks


def span_len(span: Span) -> int:
    """Tokens of context and target."""
    return len(span.context) + len(span.target)
