"""The requests that run: every method of decoding side by side, each joining and leaving at any step."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from brain.engine.choice import Asking, steps, width_for
from brain.engine.groups import Group, group_from_request
from brain.engine.model import FRESH, Model, NextTokens, Row
from brain.engine.request import GenerateRequest, settle
from brain.protocols import Encoder


@dataclass(slots=True)
class _Running:
    """A request, its rows, and where each of them stood in the step before."""

    request: GenerateRequest
    group: Group
    prefix: int
    prompt_ids: frozenset[int]
    moves: list[tuple[int, int]] = field(default_factory=list)  # row of the step before or FRESH, new token

    @property
    def asking(self) -> Asking:
        return Asking(self.group, self.request.decoding, self.prompt_ids)


class Batch:
    """What runs; all rows of a step share one reading of the weights."""

    def __init__(self, model: Model, encoder: Encoder) -> None:
        self._model, self._encoder = model, encoder
        self._running: list[_Running] = []

    @property
    def requests(self) -> list[GenerateRequest]:
        """All that run."""
        return [running.request for running in self._running]

    @property
    def num_rows(self) -> int:
        """Rows of the next step at most."""
        return sum(running.request.num_rows for running in self._running)

    @property
    def num_positions(self) -> int:
        """Keys and values that what runs may come to hold."""
        return sum(running.request.num_positions for running in self._running)

    @torch.inference_mode()
    def admit(self, requests: Sequence[GenerateRequest]) -> None:
        """Read the prompts of some requests and draw their first tokens."""
        prompts = [request.prompt.ids for request in requests]
        width = width_for([request.decoding for request in requests])
        prefixes, following = self._model.prefill(prompts, width, [one.lora for one in requests])
        admitted = [
            _Running(
                request, group_from_request(request, self._encoder), prefix, frozenset(request.prompt.ids)
            )
            for request, prefix in zip(requests, prefixes, strict=True)
        ]
        self._running += admitted  # from now on `drop` and `step` give their memory back
        owner = [number for number, one in enumerate(admitted) for _ in one.group.responses]
        self._advance(admitted, _repeated(following, owner), is_first=True)

    @torch.inference_mode()
    def step(self) -> None:
        """One token more for every row; the futures of those that are finished are settled."""
        self.drop_unwanted()
        if not self._running:
            return
        rows = [Row(one.prefix, source, token) for one in self._running for source, token in one.moves]
        width = width_for([request.decoding for request in self.requests])
        self._advance(list(self._running), self._model.step(rows, width))

    def drop_unwanted(self) -> None:
        """Free the rows of requests that nobody waits for any more."""
        for one in [one for one in self._running if one.request.future.done()]:
            self._leave(one)

    def clear(self) -> list[GenerateRequest]:
        """Give up all that runs, after a failure; returns the requests."""
        requests = self.requests
        self._model.reset()
        self._running.clear()
        return requests

    def _advance(self, running: Sequence[_Running], following: NextTokens, is_first: bool = False) -> None:
        """Let every group choose its next rows; the finished ones leave."""
        made = steps([one.asking for one in running], following, self._encoder.end_id)
        start = 0
        for one, step in zip(running, made, strict=True):
            num_rows = len(one.group.responses)
            going = one.group.advance(step)
            one.moves = [(FRESH if is_first else start + parent, token) for parent, token in going]
            start += num_rows
            if not going:
                self._leave(one)
                settle(one.request.future, one.group.candidates())

    def _leave(self, one: _Running) -> None:
        self._running.remove(one)
        self._model.release(one.prefix)


def _repeated(following: NextTokens, owner: Sequence[int]) -> NextTokens:
    """One row for each entry of `owner`, which names the row to repeat."""
    index = torch.tensor(owner, device=following.logits.device)
    return NextTokens(
        following.logits[index],
        following.ids[index],
        following.floor[index],
        following.log_norm[index],
        lambda rows: following.whole(index[rows]),
    )
