"""The rows of one request: which of them go on after a step, and what comes of them."""

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
class Step:
    """What may follow the rows of one group, and what was drawn.

    `logits` float32 [rows, columns] as the model gave them, `allowed` the same after the filters, `ids` int64
    the token of each column, `log_norm` float32 [rows, 1] the log-sum-exp over the whole vocabulary, `drawn`
    the token drawn for each row, `logprobs` its log-probability.
    """

    logits: Tensor
    allowed: Tensor
    ids: Tensor
    log_norm: Tensor
    drawn: Sequence[int]
    logprobs: Sequence[float]


class Group(Protocol):
    """The rows of one request."""

    @property
    def responses(self) -> Sequence[Sequence[int]]:
        """What each row has said so far; their number is that of the rows."""

    def uniform(self) -> list[float]:
        """A number in [0, 1) for each row's next token."""

    def advance(self, step: Step) -> list[Move]:
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
        self._on_token = request.on_token
        is_greedy = request.decoding.method == "greedy"
        self._streams = (
            [[0.0] * self._max_new_tokens]
            if is_greedy
            else uniform_streams(request.seed, request.prompt.ids, request.num_rows, self._max_new_tokens)
        )

    @property
    def responses(self) -> Sequence[Sequence[int]]:
        return [self._tokens[candidate] for candidate in self._live]

    def uniform(self) -> list[float]:
        return [self._streams[candidate][len(self._tokens[candidate])] for candidate in self._live]

    def advance(self, step: Step) -> list[Move]:
        moves, live = [], []
        for row, candidate in enumerate(self._live):
            token, tokens = step.drawn[row], self._tokens[candidate]
            self._logprobs[candidate] += step.logprobs[row]
            if token == self._encoder.end_id:
                self._finishes[candidate] = "stop"
                continue
            tokens.append(token)
            if self._on_token is not None:
                self._on_token(candidate, len(tokens) - 1, token)
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
    def responses(self) -> Sequence[Sequence[int]]:
        return self._search.prefixes

    def uniform(self) -> list[float]:
        return [0.0] * len(self._search.prefixes)

    def advance(self, step: Step) -> list[Move]:
        # Not normalised again: a ban makes no other token likelier.
        return self._search.advance(step.allowed - step.log_norm, step.logits - step.log_norm, step.ids)

    def candidates(self) -> list[Candidate]:
        return [
            Candidate(
                self._encoder.decode(found.ids), found.ids, found.logprob, found.finish, {"beam": found.score}
            )
            for found in self._search.best()
        ]


def group_from_request(request: GenerateRequest, encoder: Encoder) -> Group:
    """The kind of group that its method of decoding needs."""
    return Beams(request, encoder) if request.decoding.method == "beam" else Draws(request, encoder)
