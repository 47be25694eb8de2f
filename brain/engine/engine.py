"""The engine: asyncio outside, one thread inside that owns the model, and a bounded queue between them."""

import asyncio
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import torch
from transformers import PreTrainedModel

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.engine.batch import generate_all, score_all
from brain.engine.causal import CausalModel
from brain.engine.request import GenerateRequest, Request, ScoreRequest, check_prompt, check_spans, fail
from brain.errors import BrainError, CheckpointError, EngineBusy, EngineClosed
from brain.protocols import Encoder, Span

MAX_BATCH_POSITIONS = 65536  # 256 rows of 256; keys and values of GPT-2 medium then take 13 GB in float32


class CausalEngine:
    """`brain.protocols.Engine` over any causal language model of transformers.

    Whatever waits when the thread is free is decoded as one batch. Cancelling a call frees its rows at the
    next step. When a batch fails, its requests are run again one at a time: only the guilty one fails.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        encoder: Encoder,
        *,
        max_batch_rows: int,
        max_queue: int,
        num_threads: int = 0,
        max_batch_positions: int = MAX_BATCH_POSITIONS,
    ) -> None:
        """Take over a model, on whichever device it is.

        Args:
            max_batch_rows: candidates decoded together; a request with more is decoded alone.
            max_queue: requests that may wait.
            num_threads: for torch inside the model's thread; 0 leaves its default.
            max_batch_positions: rows times positions decoded together, padding and new tokens included; a
                request with more is decoded alone.
        Raises:
            CheckpointError: the tokenizer has ids the model does not know.
        """
        self._model, self._encoder = CausalModel(model), encoder
        if encoder.vocab_size > self._model.vocab_size:
            raise CheckpointError(
                f"the tokenizer has {encoder.vocab_size} ids but the model only {self._model.vocab_size}"
            )
        self._max_batch_rows, self._max_queue = max_batch_rows, max_queue
        self._max_batch_positions = max_batch_positions
        self._waiting: deque[Request] = deque()
        self._suspects: deque[Request] = deque()  # of batches that failed, each to be run alone
        self._running: list[Request] = []
        self._is_closed = False
        self._lock = Lock()  # over the four above; never held while the model computes
        self._thread = ThreadPoolExecutor(1, "model", initializer=_use_threads, initargs=(num_threads,))

    @property
    def encoder(self) -> Encoder:
        """The tokenizer this model was trained with."""
        return self._encoder

    @property
    def max_positions(self) -> int:
        """How many tokens the model can attend to."""
        return self._model.max_positions

    async def generate(self, prompt: Prompt, decoding: DecodingConfig, seed: int) -> list[Candidate]:
        """Generate candidates; see `brain.protocols.Engine.generate`.

        `max_new_tokens` counts the end token when there is one: a candidate with so many tokens and no end
        finishes by "length". Candidates of a beam search carry their score as `scores["beam"]`.
        """
        check_prompt(prompt, decoding, self.max_positions, self._model.vocab_size)
        request = GenerateRequest(prompt, decoding, seed)
        self._enqueue(request)
        return await asyncio.wrap_future(request.future)

    async def score(self, spans: Sequence[Span]) -> list[float]:
        """Teacher-forced log-probabilities; see `brain.protocols.Engine.score`."""
        check_spans(spans, self.max_positions, self._model.vocab_size)
        request = ScoreRequest(tuple(spans))
        self._enqueue(request)
        return await asyncio.wrap_future(request.future)

    async def close(self) -> None:
        """Fail what waits and what runs with EngineClosed, and stop the thread at its next step."""
        with self._lock:
            self._is_closed = True
            unfinished = [*self._waiting, *self._suspects, *self._running]
            self._waiting.clear()
            self._suspects.clear()
        for request in unfinished:
            fail(request, EngineClosed("the engine was shut down while the request waited"))
        await asyncio.to_thread(self._thread.shutdown)

    def _enqueue(self, request: Request) -> None:
        with self._lock:
            if self._is_closed:
                raise EngineClosed("the engine is shut down")
            if len(self._waiting) >= self._max_queue:
                self._waiting = deque(other for other in self._waiting if not other.future.done())
            if len(self._waiting) >= self._max_queue:
                raise EngineBusy(f"{len(self._waiting)} requests wait already; try again later")
            self._waiting.append(request)
            self._thread.submit(self._work)

    def _work(self) -> None:
        """In the model's thread: run what waits. Whatever happens, nobody is left waiting for ever."""
        batch = self._take()
        try:
            self._run(batch)
        finally:  # the error itself goes on to the executor, and the thread lives on
            self._settle_rest(batch, sys.exc_info()[1])

    def _settle_rest(self, batch: Sequence[Request], cause: BaseException | None) -> None:
        """Fail what has no answer, if it ran alone; what ran in company gets a run of its own.

        That run waits until `cause` is gone, whose traceback holds the memory of the failed batch.
        """
        unfinished = [request for request in batch if not request.future.done()]
        if len(batch) == 1:
            for request in unfinished:
                fail(request, _failure(cause))
            return
        with self._lock:
            if not self._is_closed:  # else `close` fails them
                self._suspects.extend(unfinished)
                for _ in unfinished:
                    self._thread.submit(self._work)

    def _take(self) -> list[Request]:
        """A suspect alone, or the oldest requests that fit one batch; at least one if any waits."""
        with self._lock:
            taken = [self._suspects.popleft()] if self._suspects else self._oldest()
            self._running = taken
        return taken

    def _oldest(self) -> list[Request]:
        taken: list[Request] = []
        num_rows = prompt_len = num_new = 0  # a batch is as wide as its longest prompt and its longest reply
        while self._waiting:
            num_rows += self._waiting[0].num_rows
            prompt_len = max(prompt_len, self._waiting[0].lengths[0])
            num_new = max(num_new, self._waiting[0].lengths[1])
            num_positions = num_rows * (prompt_len + num_new)
            if taken and (num_rows > self._max_batch_rows or num_positions > self._max_batch_positions):
                break
            taken.append(self._waiting.popleft())
        return taken

    def _run(self, batch: Sequence[Request]) -> None:
        wanted = [request for request in batch if not request.future.done()]
        scoring = [request for request in wanted if isinstance(request, ScoreRequest)]
        generating = [request for request in wanted if isinstance(request, GenerateRequest)]
        if scoring:
            score_all(self._model, scoring)
        if generating:
            generate_all(self._model, self._encoder, generating)


def _use_threads(num_threads: int) -> None:
    if num_threads:
        torch.set_num_threads(num_threads)


def _failure(cause: BaseException | None) -> BrainError:
    error = BrainError(f"the model failed: {type(cause).__name__}: {cause}")
    error.__cause__ = cause
    return error
