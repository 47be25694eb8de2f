"""One batch of requests, from prefill to the last token: every method of decoding side by side.

Each request is a group of rows. A step filters and draws for all rows at once; then each group says which of
its rows go on, with which token. Rows that are finished, cancelled or beaten leave the batch at that step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from brain.config import DecodingConfig
from brain.decoding import logits as filters
from brain.decoding.beam import Move
from brain.decoding.sampling import SamplingSettings, sample, settings_from_decodings
from brain.engine.causal import CausalModel
from brain.engine.groups import Beams, Draws, Group, StepLogits
from brain.engine.request import GenerateRequest, ScoreRequest, settle
from brain.protocols import Encoder


class _Filters:
    """The settings of all requests of a batch, one row each, and how to use them."""

    def __init__(self, requests: Sequence[GenerateRequest], encoder: Encoder, device: torch.device) -> None:
        decodings = [request.decoding for request in requests]
        self._end_id, self._vocab_size, self._device = encoder.end_id, encoder.vocab_size, device
        self._sampling: SamplingSettings = settings_from_decodings(decodings, device)
        self._penalty = self._row_values([d.repetition_penalty for d in decodings], torch.float32)
        self._ngram = self._row_values([d.no_repeat_ngram for d in decodings], torch.int64)
        self._min_tokens = self._row_values([d.min_new_tokens for d in decodings], torch.int64)
        self._prompts = self._padded_prompts(requests) if _any_penalty(decodings) else None

    def apply(self, logits: Tensor, owner: Tensor, responses: Tensor) -> Tensor:
        """What may follow.

        Args:
            logits: float32 [rows, vocab].
            owner: int64 [rows], the number of each row's request.
            responses: int64 [rows, steps so far].
        Returns:
            float32 [rows, vocab of the encoder], which may be less than the model's.
        """
        allowed = logits[:, : self._vocab_size]
        if self._prompts is not None:
            said = torch.cat([self._prompts[owner], responses], dim=1)
            allowed = filters.penalize_repetition(allowed, said, self._penalty[owner], self._end_id)
        allowed = filters.ban_repeated_ngrams(allowed, responses, self._ngram[owner])
        if bool((self._min_tokens > responses.shape[1]).any()):
            allowed = filters.require_min_tokens(
                allowed, responses.shape[1], self._min_tokens[owner], self._end_id
            )
        return allowed

    def draw(self, allowed: Tensor, owner: Tensor, uniform: Sequence[float]) -> Tensor:
        """One token per row, int64 [rows]."""
        numbers = torch.tensor(uniform, dtype=torch.float64, device=self._device)
        return sample(allowed, self._sampling.select(owner), numbers)

    def _row_values(self, values: Sequence[float], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=self._device)

    def _padded_prompts(self, requests: Sequence[GenerateRequest]) -> Tensor:
        longest = max(len(request.prompt.ids) for request in requests)
        rows = [[*r.prompt.ids] + [self._end_id] * (longest - len(r.prompt.ids)) for r in requests]
        return torch.tensor(rows, dtype=torch.int64, device=self._device)


def _any_penalty(decodings: Sequence[DecodingConfig]) -> bool:
    return any(decoding.repetition_penalty != 1 for decoding in decodings)


@torch.inference_mode()
def generate_all(model: CausalModel, encoder: Encoder, requests: Sequence[GenerateRequest]) -> None:
    """Decode the requests together and settle the future of each as soon as its rows are finished."""
    groups: dict[int, Group] = {
        number: Beams(request, encoder) if request.decoding.method == "beam" else Draws(request, encoder)
        for number, request in enumerate(requests)
    }
    limits = _Filters(requests, encoder, model.device)
    context, logits = model.prefill([request.prompt.ids for request in requests])
    owner = _owners(groups, model.device)  # [rows]: the number of each row's request
    responses = owner.new_empty((len(owner), 0))  # [rows, steps so far]
    if len(owner) > len(requests):
        context.select(owner)
        logits = logits[owner]
    while True:
        uniform = [u for group in groups.values() for u in group.uniform(responses.shape[1])]
        step = _take_step(limits, logits, owner, responses, uniform)
        moves = _advance(groups, requests, step)
        if not moves:
            return
        parents, tokens = (torch.tensor(column, device=model.device) for column in zip(*moves, strict=True))
        if len(parents) != len(owner) or not bool((parents[1:] > parents[:-1]).all()):
            context.select(parents)
        responses = torch.cat([responses[parents], tokens.unsqueeze(1)], dim=1)
        owner = _owners(groups, model.device)
        logits = model.step(context, tokens)


def score_all(model: CausalModel, requests: Sequence[ScoreRequest]) -> None:
    """Score the spans of all requests together, in chunks, and settle their futures."""
    spans = [span for request in requests for span in request.spans]
    owner = [request for request in requests for _ in request.spans]
    logprobs = [0.0] * len(spans)
    for chunk in model.score_chunks(spans):
        wanted = [index for index in chunk if not owner[index].future.done()]
        if wanted:
            for index, logprob in zip(wanted, model.score([spans[i] for i in wanted]), strict=True):
                logprobs[index] = logprob
    start = 0
    for request in requests:
        settle(request.future, logprobs[start : start + len(request.spans)])
        start += len(request.spans)


def _owners(groups: dict[int, Group], device: torch.device) -> Tensor:
    return torch.tensor(
        [number for number, group in groups.items() for _ in range(group.num_rows)], device=device
    )


def _take_step(
    limits: _Filters, logits: Tensor, owner: Tensor, responses: Tensor, uniform: Sequence[float]
) -> StepLogits:
    allowed, log_norm = limits.apply(logits, owner, responses), logits.logsumexp(-1, keepdim=True)
    drawn = limits.draw(allowed, owner, uniform).unsqueeze(1)  # [rows, 1]
    logprobs = (logits.gather(1, drawn) - log_norm).squeeze(1)
    return StepLogits(logits, allowed, log_norm, drawn.squeeze(1).tolist(), logprobs.tolist())


def _advance(groups: dict[int, Group], requests: Sequence[GenerateRequest], step: StepLogits) -> list[Move]:
    """Let every group choose its next rows; the finished and the unwanted are taken out of `groups`."""
    moves: list[Move] = []
    start = 0
    for number, group in list(groups.items()):
        stop = start + group.num_rows
        going = [] if requests[number].future.done() else group.advance(step.part(start, stop))
        if not going:
            del groups[number]
            settle(requests[number].future, group.candidates())
        moves.extend((start + parent, token) for parent, token in going)
        start = stop
    return moves
