"""Spans of all requests for scores, one chunk of like length at a time."""

from collections import deque
from collections.abc import Callable

from brain.engine.model import Model
from brain.engine.request import ScoreRequest, fail, settle
from brain.engine.spans import span_len

_TOKENS_AHEAD = 4096  # cut into chunks together


class Scoring:
    """What is being scored; to be used from the model's thread."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._fresh: list[ScoreRequest] = []
        self._num_tokens = 0  # of the fresh ones
        self._chunks: deque[list[tuple[ScoreRequest, int]]] = deque()  # requests and places of their spans

    @property
    def requests(self) -> list[ScoreRequest]:
        """All that are not finished."""
        begun = {id(request): request for chunk in self._chunks for request, _ in chunk}
        return [*self._fresh, *begun.values()]

    @property
    def wants_more(self) -> bool:
        """Whether requests should be added before the next step: they are sorted by length together."""
        return not self._chunks and self._num_tokens < _TOKENS_AHEAD

    def add(self, request: ScoreRequest) -> None:
        """Score a request with the next step, or soon after."""
        self._fresh.append(request)
        self._num_tokens += sum(map(span_len, request.spans))

    def step(self, failure: Callable[[BaseException], BaseException]) -> bool:
        """Score one chunk and settle the requests that are complete; returns whether there was one.

        When a chunk of several requests fails, each of them is tried alone; what fails alone gets
        `failure(cause)`.
        """
        if not self._chunks:
            fresh, self._fresh, self._num_tokens = self._fresh, [], 0
            self._cut(fresh)
        if not self._chunks:
            return False
        chunk = [(request, place) for request, place in self._chunks.popleft() if not request.future.done()]
        if not chunk:
            return True
        try:
            spans = [request.spans[place] for request, place in chunk]
            logprobs = self._model.score(spans, [request.lora for request, _ in chunk])
        except Exception as error:
            self._try_alone(chunk, failure(error))
            return True
        for (request, place), logprob in zip(chunk, logprobs, strict=True):
            request.done[place] = logprob
            if len(request.done) == len(request.spans):
                settle(request.future, [request.done[number] for number in range(len(request.spans))])
        return True

    def clear(self) -> list[ScoreRequest]:
        """Give up all; returns the requests."""
        requests = self.requests
        self._fresh, self._num_tokens = [], 0
        self._chunks.clear()
        return requests

    def _cut(self, requests: list[ScoreRequest]) -> None:
        places = [(request, place) for request in requests for place in range(len(request.spans))]
        spans = [request.spans[place] for request, place in places]
        if spans:
            self._chunks.extend(
                [places[index] for index in chunk] for chunk in self._model.score_chunks(spans)
            )

    def _try_alone(self, chunk: list[tuple[ScoreRequest, int]], error: BaseException) -> None:
        requests = {id(request): request for request, _ in chunk}
        if len(requests) == 1:
            fail(chunk[0][0], error)
            return
        for request in requests.values():
            self._chunks.appendleft([pair for pair in chunk if pair[0] is request])
