"""The engine: asyncio outside, one thread inside, and a bounded queue between them.

A step is three verbs: admit what waits, decode one token for every row, score one chunk.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from threading import Lock

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.engine.decode import Batch
from brain.engine.failures import closed, failure, too_late
from brain.engine.model import Model
from brain.engine.request import (
    GenerateRequest,
    Request,
    ScoreRequest,
    State,
    check_prompt,
    check_spans,
    deadline_after,
    fail,
    token_teller,
)
from brain.engine.scheduler import Limits, Scheduler
from brain.engine.scoring import Scoring
from brain.engine.shelf import LoraSource, Shelf
from brain.engine.stats import EngineStats, LoopLag
from brain.engine.worker import Worker
from brain.errors import CheckpointError, EngineClosed
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
        loras: LoraSource | None = None,
        max_lora_bytes: int = 2**28,
    ) -> None:
        """Take over a model.

        Args:
            worker: the thread to compute in, shared with other engines; None makes one.
            loras: where the LoRA weights that requests name come from; None for no such requests.
            max_lora_bytes: for all of them that are in memory.
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
        worker = self._worker = worker or Worker()
        self._shelf = Shelf(loras, lambda one: worker.call(lambda: model.take_lora(one)), max_lora_bytes)
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
            self._shelf.num_bytes,
        )

    async def generate(
        self,
        prompt: Prompt,
        decoding: DecodingConfig,
        seed: int,
        *,
        lora: str | None = None,
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
        request = GenerateRequest(prompt, decoding, seed, deadline_after(max_seconds))
        if on_token is not None:
            request.on_token = token_teller(on_token, asyncio.get_running_loop())
        async with self._voiced(request, lora):
            return await asyncio.wrap_future(request.future)

    async def score(
        self, spans: Sequence[Span], *, lora: str | None = None, max_seconds: float | None = None
    ) -> list[float]:
        """Teacher-forced log-probabilities; see `brain.protocols.Engine.score`."""
        check_spans(spans, self.max_positions, self._model.vocab_size)
        request = ScoreRequest(tuple(spans), deadline_after(max_seconds))
        if not spans:
            return []
        async with self._voiced(request, lora):
            return await asyncio.wrap_future(request.future)

    async def prepare(self, lora: str) -> None:
        """Read LoRA weights now; see `brain.protocols.Engine.prepare`."""
        async with self._shelf.held(lora):
            return

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
            fail(request, failure(cause))

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
        return self._scoring.step(failure)

    def _retry_alone(self, requests: Sequence[GenerateRequest], cause: Exception) -> None:
        """Fail a request that ran alone; those that ran in company get a run of their own."""
        company = list({id(request): request for request in requests}.values())
        if len(company) == 1:
            fail(company[0], failure(cause))
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
            fail(request, too_late())

    @asynccontextmanager
    async def _voiced(self, request: Request, lora: str | None) -> AsyncIterator[None]:
        """Let a request wait its turn with its LoRA weights, which nobody drops meanwhile."""
        async with AsyncExitStack() as held:
            held.enter_context(self._lag)
            if lora is not None:
                left = None if request.deadline is None else request.deadline - time.monotonic()
                try:
                    async with asyncio.timeout(left):
                        request.lora = await held.enter_async_context(self._shelf.held(lora))
                except TimeoutError:
                    raise too_late() from None
            self._enqueue(request)
            yield

    def _enqueue(self, request: Request) -> None:
        with self._lock:
            if self._is_closed:
                raise EngineClosed("the engine is shut down")
            self._scheduler.add(request)
        request.future.add_done_callback(partial(self._count, request))
        self._worker.wake()

    def _fail_all(self, requests: Sequence[Request]) -> None:
        for request in requests:
            fail(request, closed())

    def _count(self, request: Request, _: object = None) -> None:
        if request.state is State.FINISHED:
            self._finished += 1
        else:
            self._aborted += 1
