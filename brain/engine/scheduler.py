"""Which requests run next; no tensors.

First come, first served. A request too large for what is free does not hold up smaller ones behind it, but
only so often: then nothing else starts until it fits, so that it does not starve.
"""

from collections import deque
from dataclasses import dataclass

from brain.engine.request import GenerateRequest, Request, ScoreRequest
from brain.errors import EngineBusy

MAX_OVERTAKEN = 16  # requests that may start before an older, larger one
MAX_PREFILL_TOKENS = 2048  # read between two steps of the running rows, which wait that long


@dataclass(frozen=True, slots=True)
class Limits:
    """Rows and positions (keys and values of one token) that run together, and requests that may wait.

    A request larger than a limit runs alone.
    """

    max_rows: int
    max_positions: int
    max_queue: int


class Scheduler:
    """Queues of what waits; not safe for threads by itself."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._generating: deque[GenerateRequest] = deque()
        self._scoring: deque[ScoreRequest] = deque()
        self._num_overtaken = 0  # how often the first one has been

    def __len__(self) -> int:
        """Requests that wait and are still wanted."""
        return sum(not request.future.done() for request in self.waiting)

    @property
    def waiting(self) -> list[Request]:
        """All of them, those given up included."""
        return [*self._generating, *self._scoring]

    def add(self, request: Request) -> None:
        """Let a request wait. Raises EngineBusy when too many do."""
        if len(self._generating) + len(self._scoring) >= self.limits.max_queue:
            self.sweep()
            if len(self) >= self.limits.max_queue:
                raise EngineBusy(f"{len(self)} requests wait already; try again later")
        if isinstance(request, GenerateRequest):
            self._generating.append(request)
        else:
            self._scoring.append(request)

    def sweep(self) -> None:
        """Forget what is no longer wanted."""
        if self._generating and self._generating[0].future.done():
            self._num_overtaken = 0
        self._generating = deque(request for request in self._generating if not request.future.done())
        self._scoring = deque(request for request in self._scoring if not request.future.done())

    def expired(self, now: float) -> list[Request]:
        """Take out those past their deadline."""
        late = [
            request for request in self.waiting if request.deadline is not None and request.deadline <= now
        ]
        if late:
            self._generating = deque(request for request in self._generating if request not in late)
            self._scoring = deque(request for request in self._scoring if request not in late)
        return late

    def clear(self) -> list[Request]:
        """Take out all."""
        taken = self.waiting
        self._generating.clear()
        self._scoring.clear()
        return taken

    def pick(self, num_rows: int, num_positions: int) -> list[GenerateRequest]:
        """Take out what may start beside so many rows and positions in use, oldest first."""
        self.sweep()
        picked: list[GenerateRequest] = []
        passed: deque[GenerateRequest] = deque()
        num_tokens = 0
        while self._generating:
            request = self._generating.popleft()
            num_prompt = len(request.prompt.ids)
            is_first = not picked and not num_rows
            if picked and num_tokens + num_prompt > MAX_PREFILL_TOKENS:
                self._generating.appendleft(request)
                break
            if is_first or self._fits(request, num_rows, num_positions):
                picked.append(request)
                num_rows += request.num_rows
                num_positions += request.num_positions
                num_tokens += num_prompt
                if passed:
                    self._num_overtaken += 1
                else:
                    self._num_overtaken = 0
                continue
            passed.append(request)
            if self._num_overtaken >= MAX_OVERTAKEN:
                break
        self._generating.extendleft(reversed(passed))
        return picked

    def next_scoring(self) -> ScoreRequest | None:
        """Take out the oldest request for scores."""
        while self._scoring:
            request = self._scoring.popleft()
            if not request.future.done():
                return request
        return None

    def _fits(self, request: GenerateRequest, num_rows: int, num_positions: int) -> bool:
        return (
            num_rows + request.num_rows <= self.limits.max_rows
            and num_positions + request.num_positions <= self.limits.max_positions
        )
