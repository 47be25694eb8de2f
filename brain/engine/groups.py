"""The rows of one request within a batch: which of them go on after a step, and what comes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from brain.decoding.beam import BeamSearch, Move
from brain.decoding.sampling import uniform_streams
from brain.dialogue import Candidate, Finish
from brain.engine.request import GenerateRequest
from brain.protocols import Encoder


@dataclass(frozen=True, slots=True)
class StepLogits:
    """What the model says of the next token, for all rows or those of one group.

    `logits` float32 [rows, vocab] as the model gave them, `allowed` the same after the filters, `log_norm`
    float32 [rows, 1] their log-sum-exp, `drawn` the token drawn for each row, `logprobs` its log-probability.
    """

    logits: Tensor
    allowed: Tensor
    log_norm: Tensor
    drawn: Sequence[int]
    logprobs: Sequence[float]

    def part(self, start: int, stop: int) -> "StepLogits":
        """The rows of one group."""
        rows = slice(start, stop)
        return StepLogits(
            self.logits[rows], self.allowed[rows], self.log_norm[rows], self.drawn[rows], self.logprobs[rows]
        )


class Group(Protocol):
    """The rows of one request."""

    @property
    def num_rows(self) -> int:
        """How many rows it has now."""

    def uniform(self, step: int) -> list[float]:
        """A number in [0, 1) for each row."""

    def advance(self, step: StepLogits) -> list[Move]:
        """For each row that goes on its parent row and token; empty when the request is finished."""

    def candidates(self) -> list[Candidate]:
        """The result."""


class Draws:
    """Candidates drawn independently of each other; greedy decoding is one of them."""

    def __init__(self, request: GenerateRequest, encoder: Encoder) -> None:
        self._encoder, self._max_new_tokens = encoder, request.decoding.max_new_tokens
        self._live = list(range(request.num_rows))
        self._tokens: list[list[int]] = [[] for _ in self._live]
        self._logprobs = [0.0 for _ in self._live]
        self._finishes: list[Finish] = ["length" for _ in self._live]
        is_greedy = request.decoding.method == "greedy"
        self._streams = (
            [[0.0] * self._max_new_tokens]
            if is_greedy
            else uniform_streams(request.seed, request.num_rows, self._max_new_tokens)
        )

    @property
    def num_rows(self) -> int:
        return len(self._live)

    def uniform(self, step: int) -> list[float]:
        return [self._streams[candidate][step] for candidate in self._live]

    def advance(self, step: StepLogits) -> list[Move]:
        moves, live = [], []
        for row, candidate in enumerate(self._live):
            token, tokens = step.drawn[row], self._tokens[candidate]
            self._logprobs[candidate] += step.logprobs[row]
            if token == self._encoder.end_id:
                self._finishes[candidate] = "stop"
                continue
            tokens.append(token)
            if len(tokens) < self._max_new_tokens:
                moves.append((row, token))
                live.append(candidate)
        self._live = live
        return moves

    def candidates(self) -> list[Candidate]:
        scored = zip(self._tokens, self._logprobs, self._finishes, strict=True)
        return [
            Candidate(self._encoder.decode(ids), tuple(ids), score, finish) for ids, score, finish in scored
        ]


class Beams:
    """The beams of one search."""

    def __init__(self, request: GenerateRequest, encoder: Encoder) -> None:
        self._encoder = encoder
        self._search = BeamSearch(request.decoding, encoder.end_id)

    @property
    def num_rows(self) -> int:
        return self._search.num_rows

    def uniform(self, step: int) -> list[float]:
        return [0.0] * self.num_rows

    def advance(self, step: StepLogits) -> list[Move]:
        allowed = step.allowed - step.log_norm  # not normalised again: a ban makes no other token likelier
        return self._search.advance(allowed, step.logits[:, : allowed.shape[1]] - step.log_norm)

    def candidates(self) -> list[Candidate]:
        return [
            Candidate(
                self._encoder.decode(found.ids), found.ids, found.logprob, found.finish, {"beam": found.score}
            )
            for found in self._search.best()
        ]
