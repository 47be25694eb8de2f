"""The engine: asyncio outside, one thread inside, and a bounded queue between them.

A step is three verbs: admit what waits, decode one token for every row, score one chunk.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock

import torch

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.engine.decode import Batch
from brain.engine.model import Model
from brain.engine.request import (
    GenerateRequest,
    Request,
    ScoreRequest,
    State,
    check_prompt,
    check_spans,
    fail,
)
from brain.engine.scheduler import Limits, Scheduler
from brain.engine.scoring import Scoring
from brain.engine.stats import EngineStats, LoopLag
from brain.engine.worker import Worker
from brain.errors import BrainError, CheckpointError, EngineClosed, EngineTimeout
from brain.protocols import Encoder, Span

MAX_POSITIONS = 65536  # keys and values held at once; of GPT-2 medium in 16 bits 6 GB
DEFAULT_LIMITS = Limits(max_rows=256, max_positions=MAX_POSITIONS, max_queue=1024)


class ModelEngine:
    """`brain.protocols.Engine` over a `brain.engine.model.Model`.

    Requests join and leave what runs at any step. Cancelling a call frees its rows at the next step, and so
    does its deadline. When a step fails, its requests are run again one at a time: only the guilty one fails.
    """

    def __init__(
        self,
        model: Model,
        encoder: Encoder,
        *,
        limits: Limits = DEFAULT_LIMITS,
        worker: Worker | None = None,
    ) -> None:
        """Take over a model.

        Args:
            worker: the thread to compute in, shared with other engines; None makes one.
        Raises:
            CheckpointError: the tokenizer has ids the model does not know.
        """
        if encoder.vocab_size > model.vocab_size:
            raise CheckpointError(
                f"the tokenizer has {encoder.vocab_size} ids but the model only {model.vocab_size}"
            )
        model.limit_ids(encoder.vocab_size)
        self._model, self._encoder = model, encoder
        self._batch, self._scoring = Batch(model, encoder), Scoring(model)
        self._scheduler = Scheduler(limits)
        self._suspects: deque[GenerateRequest] = deque()  # of a step that failed, each to be run alone
        self._admitting: list[GenerateRequest] = []  # the newest ones, which may not be in the batch yet
        self._is_closed = False
        self._lock = Lock()  # over scheduler and is_closed; never held while the model computes
        self._finished = self._aborted = 0
        self._seconds = {"admit": 0.0, "decode": 0.0, "score": 0.0}
        self._lag = LoopLag()
        self._worker = worker or Worker()
        self._worker.attach(self.step)

    @property
    def encoder(self) -> Encoder:
        """The tokenizer this model was trained with."""
        return self._encoder

    @property
    def max_positions(self) -> int:
        """How many tokens the model can attend to."""
        return self._model.max_positions

    @property
    def stats(self) -> EngineStats:
        """Counts and timings; may be read from any thread."""
        usage = self._model.usage
        with self._lock:
            waiting = len(self._scheduler)
        return EngineStats(
            waiting,
            len(self._batch.requests),
            self._batch.num_rows,
            self._finished,
            self._aborted,
            usage.prefilled,
            usage.reused,
            usage.stepped,
            usage.scored,
            self._seconds["admit"],
            self._seconds["decode"],
            self._seconds["score"],
            self._model.kept_bytes,
            self._lag.worst,
        )

    async def generate(
        self,
        prompt: Prompt,
        decoding: DecodingConfig,
        seed: int,
        *,
        max_seconds: float | None = None,
        on_token: Callable[[int, int], None] | None = None,
    ) -> list[Candidate]:
        """Generate candidates; see `brain.protocols.Engine.generate`.

        `max_new_tokens` counts the end token when there is one: a candidate with so many tokens and no end
        finishes by "length". Candidates of a beam search carry their score as `scores["beam"]`.

        Args:
            max_seconds: until it is given up.
            on_token: called on the event loop with candidate and token as soon as each is drawn, the end
            token
                excepted; not for beam search, which may change its mind.
        """
        check_prompt(prompt, decoding, self.max_positions, self._model.vocab_size)
        request = GenerateRequest(prompt, decoding, seed, _deadline(max_seconds))
        if on_token is not None:
            request.on_token = _teller(on_token, asyncio.get_running_loop())
        self._enqueue(request)
        with self._lag:
            return await asyncio.wrap_future(request.future)

    async def score(self, spans: Sequence[Span], *, max_seconds: float | None = None) -> list[float]:
        """Teacher-forced log-probabilities; see `brain.protocols.Engine.score`."""
        check_spans(spans, self.max_positions, self._model.vocab_size)
        request = ScoreRequest(tuple(spans), _deadline(max_seconds))
        if not spans:
            return []
        self._enqueue(request)
        with self._lag:
            return await asyncio.wrap_future(request.future)

    async def close(self) -> None:
        """Fail what waits and what runs with EngineClosed, and stop at the next step; may be called twice."""
        with self._lock:
            self._is_closed = True
            unfinished = self._scheduler.clear()
        self._fail_all(unfinished)
        await asyncio.to_thread(self._worker.detach, self.step)  # what runs is the thread's until then
        self._fail_all([*self._suspects, *self._batch.clear(), *self._scoring.clear()])
        self._suspects.clear()

    def step(self) -> bool:
        """In the model's thread: admit, decode, score. Returns whether there was work; never raises."""
        try:
            self._expire()
            verbs = (("admit", self._admit), ("decode", self._decode), ("score", self._score))
            return any([self._timed(name, verb) for name, verb in verbs])
        except Exception as error:  # such as a device that is gone: nobody may wait for ever
            self._give_up(error)
            return False

    def _give_up(self, cause: Exception) -> None:
        """Refuse further work and fail all there is, after a failure that could not be cleaned up."""
        with self._lock:
            self._is_closed = True
            unfinished: list[Request] = [*self._scheduler.clear(), *self._suspects, *self._admitting]
        unfinished += [*self._batch.requests, *self._scoring.requests]
        for request in unfinished:
            fail(request, _failure(cause))

    def _timed(self, name: str, verb: Callable[[], bool]) -> bool:
        start = time.perf_counter()
        worked = verb()
        if worked:
            self._seconds[name] += time.perf_counter() - start
        return worked

    def _admit(self) -> bool:
        """Read the prompts of requests that may start."""
        batch = self._batch
        if self._suspects:
            picked = [] if batch.requests else [self._suspects.popleft()]
        else:
            with self._lock:
                picked = self._scheduler.pick(batch.num_rows, batch.num_positions)
        picked = [request for request in picked if not request.future.done()]
        if not picked:
            return bool(self._suspects)
        for request in picked:
            request.is_running = True
        self._admitting = picked
        try:
            batch.admit(picked)
        except Exception as error:
            self._retry_alone([*picked, *batch.clear()], error)
        return True

    def _decode(self) -> bool:
        """One token for every row."""
        if not self._batch.requests:
            return False
        try:
            self._batch.step()
        except Exception as error:
            self._retry_alone(self._batch.clear(), error)
        return True

    def _score(self) -> bool:
        """One chunk of spans."""
        with self._lock:
            while self._scoring.wants_more and (request := self._scheduler.next_scoring()) is not None:
                request.is_running = True
                self._scoring.add(request)
        return self._scoring.step(_failure)

    def _retry_alone(self, requests: Sequence[GenerateRequest], cause: Exception) -> None:
        """Fail a request that ran alone; those that ran in company get a run of their own."""
        company = list({id(request): request for request in requests}.values())
        if len(company) == 1:
            fail(company[0], _failure(cause))
        elif self._is_closed:
            self._fail_all(company)
        else:
            self._suspects.extend(request for request in company if not request.future.done())

    def _expire(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = self._scheduler.expired(now)
        running: list[Request] = [*self._batch.requests, *self._suspects, *self._scoring.requests]
        late += [request for request in running if request.deadline is not None and request.deadline <= now]
        for request in late:
            fail(request, EngineTimeout("the engine did not finish in time"))

    def _enqueue(self, request: Request) -> None:
        with self._lock:
            if self._is_closed:
                raise EngineClosed("the engine is shut down")
            self._scheduler.add(request)
        request.future.add_done_callback(partial(self._count, request))
        self._worker.wake()

    def _fail_all(self, requests: Sequence[Request]) -> None:
        for request in requests:
            fail(request, _closed())

    def _count(self, request: Request, _: object = None) -> None:
        if request.state is State.FINISHED:
            self._finished += 1
        else:
            self._aborted += 1


def _teller(on_token: Callable[[int, int], None], loop: asyncio.AbstractEventLoop) -> Callable[..., None]:
    """Pass tokens to the event loop, each once even when a request is run again."""
    told: dict[int, int] = {}

    def tell(candidate: int, place: int, token: int) -> None:
        if place >= told.get(candidate, 0):
            told[candidate] = place + 1
            loop.call_soon_threadsafe(on_token, candidate, token)

    return tell


def _deadline(max_seconds: float | None) -> float | None:
    return None if max_seconds is None else time.monotonic() + max_seconds


def _closed() -> EngineClosed:
    return EngineClosed("the engine was shut down while the request waited")


def _failure(cause: BaseException) -> BrainError:
    if isinstance(cause, torch.OutOfMemoryError):
        error = BrainError("the model ran out of memory; lower brain.max_batch_rows or num_candidates")
    else:
        error = BrainError(f"the model failed: {type(cause).__name__}: {cause}")
    error.__cause__ = cause
    return error
