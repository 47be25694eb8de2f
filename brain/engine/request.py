"""What waits for the model: the values of one request, its state, and the future its caller waits on.

The futures are `concurrent.futures.Future`: settled by the model's thread, awaited through
`asyncio.wrap_future`, which also carries a cancellation back. A request whose future is done is not wanted.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.engine.lora import LoraWeights
from brain.errors import PromptError
from brain.protocols import Span

OnToken = Callable[
    [int, int, int], None
]  # candidate, place in the response, token; called in the model's thread
T = TypeVar("T")


class State(Enum):
    """Where a request stands."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    ABORTED = "aborted"  # given up by its caller, past its deadline, failed or shut down


@dataclass(slots=True, eq=False)
class GenerateRequest:
    """Candidates are wanted; `deadline` is a time of `time.monotonic`, None for no hurry."""

    prompt: Prompt
    decoding: DecodingConfig
    seed: int
    deadline: float | None = None
    on_token: OnToken | None = None
    lora: LoraWeights | None = None
    future: Future[list[Candidate]] = field(default_factory=Future)
    is_running: bool = False

    @property
    def state(self) -> State:
        """Where it stands."""
        return _state(self.future, self.is_running)

    @property
    def num_rows(self) -> int:
        """How many rows of a batch it takes at most."""
        if self.decoding.method == "greedy":
            return 1
        return self.decoding.num_beams if self.decoding.method == "beam" else self.decoding.num_candidates

    @property
    def num_positions(self) -> int:
        """How many keys and values it holds at most: its prompt once, its rows with all they may say."""
        return len(self.prompt.ids) + self.num_rows * self.decoding.max_new_tokens


@dataclass(slots=True, eq=False)
class ScoreRequest:
    """Log-probabilities are wanted; `done` holds those that are there, by place."""

    spans: tuple[Span, ...]
    deadline: float | None = None
    lora: LoraWeights | None = None
    future: Future[list[float]] = field(default_factory=Future)
    is_running: bool = False
    done: dict[int, float] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """Where it stands."""
        return _state(self.future, self.is_running)


Request = GenerateRequest | ScoreRequest


def _state(future: Future[T], is_running: bool) -> State:
    if not future.done():
        return State.RUNNING if is_running else State.WAITING
    return State.ABORTED if future.cancelled() or future.exception() is not None else State.FINISHED


def settle(future: Future[T], result: T) -> None:
    """Hand over the result, unless the caller has gone."""
    with suppress(InvalidStateError):
        future.set_result(result)


def fail(request: Request, error: BaseException) -> None:
    """Raise the error at the caller, unless it has gone or has its answer."""
    with suppress(InvalidStateError):
        request.future.set_exception(error)


def token_teller(
    on_token: Callable[[int, int], None], loop: asyncio.AbstractEventLoop
) -> Callable[..., None]:
    """Pass tokens to the event loop, each once even when a request is run again."""
    told: dict[int, int] = {}

    def tell(candidate: int, place: int, token: int) -> None:
        if place >= told.get(candidate, 0):
            told[candidate] = place + 1
            loop.call_soon_threadsafe(on_token, candidate, token)

    return tell


def deadline_after(max_seconds: float | None) -> float | None:
    """A time of `time.monotonic`; None for no hurry."""
    return None if max_seconds is None else time.monotonic() + max_seconds


def check_prompt(prompt: Prompt, decoding: DecodingConfig, max_positions: int, vocab_size: int) -> None:
    """Refuse what would fail inside a batch and take the others with it. Raises PromptError."""
    wanted = len(prompt.ids) + decoding.max_new_tokens
    if wanted > max_positions:
        raise PromptError(
            f"the prompt has {len(prompt.ids)} tokens and {decoding.max_new_tokens} new ones are asked for, "
            f"but the model has {max_positions} positions"
        )
    _check_ids(prompt.ids, "the prompt", vocab_size)


def check_spans(spans: Sequence[Span], max_positions: int, vocab_size: int) -> None:
    """As `check_prompt`, for spans to score."""
    for number, span in enumerate(spans, start=1):
        if len(span.context) + len(span.target) > max_positions:
            raise PromptError(
                f"span {number} has {len(span.context)} + {len(span.target)} tokens, "
                f"but the model has {max_positions} positions"
            )
        _check_ids(span.context, f"the context of span {number}", vocab_size)
        _check_ids(span.target, f"the target of span {number}", vocab_size)


def _check_ids(ids: Sequence[int], name: str, vocab_size: int) -> None:
    if not ids:
        raise PromptError(f"{name} is empty")
    if min(ids) < 0 or max(ids) >= vocab_size:
        raise PromptError(f"{name} has a token id outside the vocabulary of {vocab_size}")
