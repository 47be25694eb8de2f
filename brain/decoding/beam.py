"""Beam search over one response, one step at a time; it knows no model."""

from dataclasses import dataclass

import torch
from torch import Tensor

from brain.config import DecodingConfig
from brain.dialogue import Finish

Move = tuple[int, int]  # the beam that goes on, and the token it adds


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished response: `score` = logprob / len**length_penalty, where len counts the end token."""

    ids: tuple[int, ...]
    logprob: float
    finish: Finish
    score: float


@dataclass(frozen=True, slots=True)
class _Beam:
    """A live prefix: `logprob` is the model's own, `merit` is less by what the repetition penalty took."""

    ids: tuple[int, ...]
    logprob: float
    merit: float


@dataclass(frozen=True, slots=True)
class _Step:
    """A token that a beam may add."""

    parent: int
    token: int
    gain: float
    logprob: float


class BeamSearch:
    """The live beams and the best finished hypotheses of one request.

    Of the 2 * num_beams likeliest continuations those that end are finished if they are among the first
    num_beams, and the first num_beams of the others live on, as in transformers; the finished are ordered by
    score. Early stopping is exact, not by patience: the search goes on while a live beam could still win.

    Source: Wu et al. 2016, section 7, for the finished pool.
    """

    def __init__(self, decoding: DecodingConfig, end_id: int) -> None:
        """Start with one empty beam; `decoding` gives widths, lengths and the length penalty."""
        self._decoding, self._end_id = decoding, end_id
        self._beams = [_Beam((), 0.0, 0.0)]
        self._pool: list[Hypothesis] = []  # best first, at most num_best

    @property
    def num_rows(self) -> int:
        """How many live beams want logits; 0 when the search is over."""
        return len(self._beams)

    def best(self) -> list[Hypothesis]:
        """The finished hypotheses, best first."""
        return list(self._pool)

    @property
    def prefixes(self) -> list[tuple[int, ...]]:
        """The tokens of every live beam."""
        return [beam.ids for beam in self._beams]

    def advance(self, gains: Tensor, logprobs: Tensor, ids: Tensor) -> list[Move]:
        """Extend every beam by one token.

        Args:
            gains: float32 [num_rows, columns], log-probabilities after the filters; -inf where a token is
                banned.
            logprobs: float32 [num_rows, columns], the model's own log-probabilities.
            ids: int64 [num_rows, columns], the token of each column; all tokens, or at least the
                2 * num_beams likeliest of each row.
        Returns:
            For each new beam the number of the beam it continues and the token it adds; empty when the
            search is over.
        """
        steps = self._likeliest(gains, logprobs, ids)
        num_beams = self._decoding.num_beams
        live = [step for step in steps if step.token != self._end_id][:num_beams]
        for step in steps[:num_beams]:
            if step.token == self._end_id:
                self._finish(self._extended(step), "stop")
        self._beams = [self._extended(step) for step in live]
        self._retire()
        return [(step.parent, step.token) for step in live] if self._beams else []

    def _likeliest(self, gains: Tensor, logprobs: Tensor, ids: Tensor) -> list[_Step]:
        """The 2 * num_beams best continuations, best first; at most half of them are end tokens."""
        merit = torch.tensor([beam.merit for beam in self._beams], device=gains.device).unsqueeze(1)
        total = (gains + merit).flatten()  # [num_rows * columns]
        best = total.topk(min(2 * self._decoding.num_beams, total.numel()))
        place = best.indices
        columns = (ids.flatten()[place], gains.flatten()[place], logprobs.flatten()[place])
        found = zip(
            best.values.tolist(), place.tolist(), *(column.tolist() for column in columns), strict=True
        )
        return [
            _Step(at // gains.shape[1], token, gain, logprob)
            for value, at, token, gain, logprob in found
            if value > float("-inf")
        ]

    def _extended(self, step: _Step) -> _Beam:
        beam = self._beams[step.parent]
        return _Beam((*beam.ids, step.token), beam.logprob + step.logprob, beam.merit + step.gain)

    def _finish(self, beam: _Beam, finish: Finish) -> None:
        ids = beam.ids[:-1] if finish == "stop" else beam.ids
        score = beam.logprob / len(beam.ids) ** self._decoding.length_penalty
        self._pool.append(Hypothesis(ids, beam.logprob, finish, score))
        self._pool.sort(key=lambda hypothesis: -hypothesis.score)
        del self._pool[self._num_best :]

    def _retire(self) -> None:
        """End the search when the length is used up, or when no beam can still enter the pool."""
        if self._beams and len(self._beams[0].ids) == self._decoding.max_new_tokens:
            for beam in self._beams:
                self._finish(beam, "length")
            self._beams = []
        if len(self._pool) == self._num_best:
            worst = self._pool[-1].score
            if all(self._bound(beam) <= worst for beam in self._beams):
                self._beams = []

    def _bound(self, beam: _Beam) -> float:
        """The best score a beam can still get: its log-probability only falls; the length is the kindest."""
        penalty = self._decoding.length_penalty
        best_len = self._decoding.max_new_tokens if penalty > 0 else len(beam.ids) + 1
        return beam.logprob / float(best_len**penalty)

    @property
    def _num_best(self) -> int:
        return min(self._decoding.num_best, self._decoding.num_beams)
