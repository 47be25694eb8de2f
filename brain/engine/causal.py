"""Any causal language model of transformers behind `brain.engine.model.Model`: slower than our own, correct.

Prompts that are read together stay together, one cache for all their rows: nothing is assumed of a cache but
that its rows can be selected. Rows of different length are padded on the left; positions and mask are always
explicit, since the end-of-text token serves as separator and must not be taken for padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from brain.engine.lora import Loras, LoraWeights, StoredLora
from brain.engine.model import FRESH, NextTokens, Row, Usage, likeliest
from brain.engine.spans import span_len
from brain.errors import CheckpointError
from brain.protocols import Span

_MAX_LOGITS = 2**24  # per scoring chunk: 64 MiB in float32
_MAX_TOKENS = 2**14  # per scoring chunk, padding included


@dataclass(slots=True)
class _Cohort:
    """Prompts read together, and the rows that continue them.

    `cache` has one row per prompt until the first step and one per row of the last step after it; `mask` is
    int64 [rows, columns], 0 on padding; `next_position` int64 [rows]; `rows` names them as the caller does.
    """

    cache: Any  # transformers.Cache, whose methods are not typed
    mask: Tensor
    next_position: Tensor
    prefixes: list[int]
    rows: list[int] = field(default_factory=list)  # numbers in the caller's last step

    def select(self, chosen: Tensor) -> None:
        """Keep, repeat or reorder rows: int64 [chosen], indices into the present ones."""
        self.cache.batch_select_indices(chosen)
        self.mask, self.next_position = self.mask[chosen], self.next_position[chosen]


class CausalModel:
    """A thin cover over the model; to be used from one thread."""

    kept_bytes = 0

    def __init__(self, model: PreTrainedModel) -> None:
        """Take over the model, in evaluation mode and on the device where it is."""
        self._model = cast(Any, model)  # its methods are not typed
        self._model.eval()
        self.device = model.device
        self.vocab_size = int(self._model.get_output_embeddings().weight.shape[0])
        config = model.config
        self.max_positions = int(getattr(config, "n_positions", 0) or config.max_position_embeddings)
        self.usage = Usage()
        self._num_ids = self.vocab_size
        self._next_key = 0
        self._cohorts: list[_Cohort] = []

    def limit_ids(self, num_ids: int) -> None:
        """Offer no token from num_ids on."""
        self._num_ids = num_ids

    def take_lora(self, weights: StoredLora) -> LoraWeights:
        """Refuse: only our own forward pass has a place for them. Raises CheckpointError."""
        raise CheckpointError(
            f"{weights.name}: this model runs through transformers, where LoRA weights cannot be chosen per "
            f"chat; start with --model {weights.name}, which merges them into their base"
        )

    @torch.inference_mode()
    def prefill(
        self, prompts: Sequence[Sequence[int]], width: int, loras: Loras = ()
    ) -> tuple[list[int], NextTokens]:
        """Read prompts; see `brain.engine.model.Model.prefill`."""
        assert not any(loras), "take_lora gives none"
        self.usage.prefilled += sum(map(len, prompts))
        longest = max(map(len, prompts))
        ids = self._tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        lengths = self._tensor([len(prompt) for prompt in prompts])
        columns = torch.arange(longest, device=self.device) - (longest - lengths).unsqueeze(1)
        mask, positions = (columns >= 0).long(), columns.clamp_min(0)  # both [prompts, longest]
        output = self._model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
        )
        keys = list(range(self._next_key, self._next_key + len(prompts)))
        self._next_key += len(prompts)
        self._cohorts.append(_Cohort(output.past_key_values, mask, lengths, list(keys)))
        return keys, self._next_tokens(output.logits[:, -1].float(), width)

    @torch.inference_mode()
    def step(self, rows: Sequence[Row], width: int) -> NextTokens:
        """Append a token to each row; see `brain.engine.model.Model.step`."""
        self.usage.stepped += len(rows)
        logits: list[Tensor | None] = [None] * len(rows)
        for cohort in list(self._cohorts):
            own = set(cohort.prefixes)
            numbers = [number for number, row in enumerate(rows) if row.prefix in own]
            if numbers:
                for number, row_logits in zip(numbers, self._step(cohort, rows, numbers), strict=True):
                    logits[number] = row_logits
            cohort.rows = numbers
        return self._next_tokens(torch.stack([row for row in logits if row is not None]), width)

    def release(self, prefix: int) -> None:
        """Forget a prompt; the memory of its cohort goes with the last one."""
        for cohort in list(self._cohorts):
            if prefix in cohort.prefixes:
                cohort.prefixes[cohort.prefixes.index(prefix)] = -1  # the places of the others stay
                if all(key < 0 for key in cohort.prefixes):
                    self._cohorts.remove(cohort)

    def reset(self) -> None:
        """Forget all rows and prompts."""
        self._cohorts.clear()

    @torch.inference_mode()
    def score(self, spans: Sequence[Span], loras: Loras = ()) -> list[float]:
        """log P(target | context) of each span, in one forward pass padded on the right."""
        assert not any(loras), "take_lora gives none"
        self.usage.scored += sum(len(span.target) for span in spans)
        longest, start = max(map(span_len, spans)), min(len(span.context) for span in spans) - 1
        padded = [[*span.context, *span.target] + [0] * (longest - span_len(span)) for span in spans]
        ids = self._tensor(padded)  # [spans, longest]
        lengths = self._tensor([span_len(span) for span in spans]).unsqueeze(1)
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

    def score_chunks(self, spans: Sequence[Span]) -> list[list[int]]:
        """Cut spans into groups of like length that `score` can hold in memory; returns their indices."""
        chunks: list[list[int]] = []
        for index in sorted(range(len(spans)), key=lambda index: span_len(spans[index])):
            if not chunks or not self._fits([spans[other] for other in chunks[-1]], spans[index]):
                chunks.append([])
            chunks[-1].append(index)
        return chunks

    def _step(self, cohort: _Cohort, rows: Sequence[Row], numbers: Sequence[int]) -> Tensor:
        """Step one cohort's rows; returns their logits, float32 [numbers, vocab]."""
        place = {number: place for place, number in enumerate(cohort.rows)}
        chosen = [
            cohort.prefixes.index(rows[number].prefix)
            if rows[number].source == FRESH
            else place[rows[number].source]
            for number in numbers
        ]
        if chosen != list(range(len(cohort.mask))):
            cohort.select(self._tensor(chosen))
        cohort.mask = torch.cat([cohort.mask, torch.ones_like(cohort.mask[:, :1])], dim=1)
        output = self._model(
            input_ids=self._tensor([[rows[number].token] for number in numbers]),
            attention_mask=cohort.mask,
            position_ids=cohort.next_position.unsqueeze(1),
            past_key_values=cohort.cache,
            use_cache=True,
        )
        cohort.cache, cohort.next_position = output.past_key_values, cohort.next_position + 1
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _next_tokens(self, logits: Tensor, width: int) -> NextTokens:
        known = logits[:, : self._num_ids]
        log_norm = logits.logsumexp(-1, keepdim=True)
        return NextTokens(*likeliest(known, width), log_norm, lambda rows: known[rows])

    def _fits(self, chunk: Sequence[Span], longest: Span) -> bool:
        rows, width = len(chunk) + 1, span_len(longest)
        kept = width - min(len(span.context) for span in (*chunk, longest)) + 1
        return rows * width <= _MAX_TOKENS and rows * kept * self.vocab_size <= _MAX_LOGITS

    def _tensor(self, values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)
