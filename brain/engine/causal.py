"""Any causal language model of transformers as three verbs: prefill prompts, step their rows, score spans.

Rows of different length stand in one batch padded on the left; positions and mask are always explicit, since
the end-of-text token serves as separator and must not be taken for padding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from brain.protocols import Span

_MAX_LOGITS = 2**24  # per scoring chunk: 64 MiB in float32
_MAX_TOKENS = 2**14  # per scoring chunk, padding included


@dataclass(slots=True)
class Context:
    """Keys and values of the rows being continued; changed by `select` and by each step.

    `mask` is int64 [rows, columns], 0 on padding; `next_position` int64 [rows].
    """

    cache: Any  # transformers.Cache, whose methods are not typed
    mask: Tensor
    next_position: Tensor

    def select(self, rows: Tensor) -> None:
        """Keep, repeat or reorder rows: int64 [chosen], indices into the present ones."""
        self.cache.batch_select_indices(rows)
        self.mask, self.next_position = self.mask[rows], self.next_position[rows]


class CausalModel:
    """A thin cover over the model; to be used from one thread."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Take over the model, in evaluation mode and on the device where it is."""
        self._model = cast(Any, model)  # its methods are not typed
        self._model.eval()
        self.device = model.device
        self.vocab_size = int(self._model.get_output_embeddings().weight.shape[0])
        config = model.config
        self.max_positions = int(getattr(config, "n_positions", 0) or config.max_position_embeddings)

    @torch.inference_mode()
    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Context, Tensor]:
        """Read prompts of any lengths.

        Returns:
            The context with one row per prompt, and the logits of the next token, float32 [prompts, vocab].
        """
        longest = max(map(len, prompts))
        ids = self._tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        lengths = self._tensor([len(prompt) for prompt in prompts])
        columns = torch.arange(longest, device=self.device) - (longest - lengths).unsqueeze(1)
        mask, positions = (columns >= 0).long(), columns.clamp_min(0)  # both [prompts, longest]
        output = self._model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
        )
        return Context(output.past_key_values, mask, lengths), output.logits[:, -1].float()

    @torch.inference_mode()
    def step(self, context: Context, tokens: Tensor) -> Tensor:
        """Append one token to each row, int64 [rows]; returns the next logits, float32 [rows, vocab]."""
        context.mask = torch.cat([context.mask, torch.ones_like(context.mask[:, :1])], dim=1)
        output = self._model(
            input_ids=tokens.unsqueeze(1),
            attention_mask=context.mask,
            position_ids=context.next_position.unsqueeze(1),
            past_key_values=context.cache,
            use_cache=True,
        )
        context.cache, context.next_position = output.past_key_values, context.next_position + 1
        logits: Tensor = output.logits[:, -1].float()
        return logits

    @torch.inference_mode()
    def score(self, spans: Sequence[Span]) -> list[float]:
        """log P(target | context) of each span, in one forward pass padded on the right.

        Returns:
            Natural logs, summed over the target's tokens.
        """
        longest, start = max(map(_span_len, spans)), min(len(span.context) for span in spans) - 1
        padded = [
            [*span.context, *span.target] + [0] * (longest - len(span.context) - len(span.target))
            for span in spans
        ]
        ids = self._tensor(padded)  # [spans, longest]
        lengths = self._tensor([_span_len(span) for span in spans]).unsqueeze(1)
        columns = torch.arange(longest, device=self.device).expand_as(ids)
        output = self._model(
            input_ids=ids,
            attention_mask=(columns < lengths).long(),
            position_ids=columns,
            use_cache=False,
            logits_to_keep=longest - start,
        )
        logits, following = output.logits[:, :-1].float(), ids[:, start + 1 :]
        logprobs = logits.gather(2, following.unsqueeze(2)).squeeze(2) - logits.logsumexp(2)
        contexts = self._tensor([len(span.context) for span in spans]).unsqueeze(1)
        is_target = ((columns >= contexts) & (columns < lengths))[:, start + 1 :]
        totals: list[float] = torch.where(is_target, logprobs.double(), 0.0).sum(1).tolist()
        return totals

    def score_chunks(self, spans: Sequence[Span]) -> Iterator[list[int]]:
        """Cut spans into groups of like length that `score` can hold in memory; yields their indices."""
        chunk: list[int] = []
        for index in sorted(range(len(spans)), key=lambda index: _span_len(spans[index])):
            if chunk and not self._fits([spans[other] for other in chunk], spans[index]):
                yield chunk
                chunk = []
            chunk.append(index)
        if chunk:
            yield chunk

    def _fits(self, chunk: Sequence[Span], longest: Span) -> bool:
        rows, width = len(chunk) + 1, _span_len(longest)
        kept = width - min(len(span.context) for span in (*chunk, longest)) + 1
        return rows * width <= _MAX_TOKENS and rows * kept * self.vocab_size <= _MAX_LOGITS

    def _tensor(self, values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)


def _span_len(span: Span) -> int:
    return len(span.context) + len(span.target)
