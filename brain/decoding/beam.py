"""Beam search over one response, one step at a time; it knows no model."""

from collections.abc import Sequence
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


class BeamSearch:
    """The live beams and the best finished hypotheses of one request.

    Beams are kept by merit. The prefix that greedy decoding would have keeps a place among them as long as
    it lives, so that with length_penalty 0 the best result is never less likely than the greedy one, and
    with one beam it is the greedy one. The finished are ordered by score.

    Source: Wu et al. 2016, section 7, for the finished pool; early stopping here is exact, not by patience.
    """

    def __init__(self, decoding: DecodingConfig, end_id: int) -> None:
        """Start with one empty beam; `decoding` gives widths, lengths and the length penalty."""
        self._decoding, self._end_id = decoding, end_id
        self._beams = [_Beam((), 0.0, 0.0)]
        self._greedy: int | None = 0  # which beam is the greedy prefix
        self._pool: list[Hypothesis] = []  # best first, at most num_best

    @property
    def num_rows(self) -> int:
        """How many live beams want logits; 0 when the search is over."""
        return len(self._beams)

    def best(self) -> list[Hypothesis]:
        """The finished hypotheses, best first."""
        return list(self._pool)

    def advance(self, gains: Tensor, logprobs: Tensor) -> list[Move]:
        """Extend every beam by one token.

        Args:
            gains: float32 [num_rows, vocab], log-probabilities after the filters; -inf where a token is
                banned.
            logprobs: float32 [num_rows, vocab], the model's own log-probabilities.
        Returns:
            For each new beam the number of the beam it continues and the token it adds; empty when the
            search is over.
        """
        moves = self._likeliest(gains)
        live = [move for move in moves if move[1] != self._end_id][: self._decoding.num_beams]
        ended = [move for move in moves if move[1] == self._end_id]
        if self._greedy is not None:
            self._greedy = self._follow_greedy((self._greedy, int(gains[self._greedy].argmax())), live, ended)
        for beam in self._extended(ended, gains, logprobs):
            self._finish(beam, "stop")
        self._beams = self._extended(live, gains, logprobs)
        self._retire()
        return live if self._beams else []

    def _likeliest(self, gains: Tensor) -> list[Move]:
        """The 2 * num_beams best continuations, best first; at most half of them are end tokens."""
        merit = torch.tensor([beam.merit for beam in self._beams], device=gains.device).unsqueeze(1)
        total = (gains + merit).flatten()  # [num_rows * vocab]
        best = total.topk(min(2 * self._decoding.num_beams, total.numel()))
        moves = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        return [divmod(place, gains.shape[1]) for value, place in moves if value > float("-inf")]

    def _follow_greedy(self, move: Move, live: list[Move], ended: list[Move]) -> int | None:
        """Add the greedy move where it belongs, at worst in the last place; returns its place if it lives."""
        if move[1] == self._end_id:
            ended.extend([move] if move not in ended else [])
            return None
        if move not in live:
            live[self._decoding.num_beams - 1 :] = [move]
        return live.index(move)

    def _extended(self, moves: Sequence[Move], gains: Tensor, logprobs: Tensor) -> list[_Beam]:
        if not moves:
            return []
        parents, tokens = zip(*moves, strict=True)
        chosen = torch.tensor(parents, device=gains.device), torch.tensor(tokens, device=gains.device)
        added = zip(moves, gains[chosen].tolist(), logprobs[chosen].tolist(), strict=True)
        beams = self._beams
        return [
            _Beam((*beams[parent].ids, token), beams[parent].logprob + logprob, beams[parent].merit + gain)
            for (parent, token), gain, logprob in added
        ]

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
