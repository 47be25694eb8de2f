"""Steps of a CUDA device as graphs: one launch in place of some two hundred, which take longer than the work.

A graph repeats the same operations on the same memory. It is recorded the second time that a step of its
shapes is wanted, and compared with the ordinary step before it is trusted.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from brain.engine.attention import SplitAttention

Forward = Callable[[Tensor, Tensor, SplitAttention], Tensor]  # ids, positions, attention -> hidden

_MAX_GRAPHS = 32  # least recently used out: each keeps its activations
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    output: Tensor
    attention: SplitAttention  # keeps its tensors alive


class StepGraphs:
    """Runs fixed steps, recorded ones where there are any; to be used from one thread."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._recorded: OrderedDict[tuple[object, ...], _Recorded] = OrderedDict()
        self._num_seen: Counter[tuple[object, ...]] = Counter()
        self._is_usable = True

    def __call__(self, ids: Tensor, positions: Tensor, attention: SplitAttention) -> Tensor:
        """The hidden states of a step, float32 [places, width]; the plan must be a fixed one."""
        key, inputs = attention.storage, [ids, positions, *attention.numbers]
        recorded = self._recorded.get(key)
        if recorded is not None:
            self._recorded.move_to_end(key)
            for kept, given in zip(recorded.inputs, inputs, strict=True):
                kept.copy_(given)
            recorded.graph.replay()
            return recorded.output.clone()
        hidden = self._forward(ids, positions, attention)
        self._num_seen[key] += 1
        if self._is_usable and self._num_seen[key] > 1:
            self._record(key, inputs, attention, hidden)
        return hidden

    def clear(self) -> None:
        """Forget all graphs: their memory is gone."""
        self._recorded.clear()
        self._num_seen.clear()

    def _record(
        self, key: tuple[object, ...], inputs: list[Tensor], attention: SplitAttention, expected: Tensor
    ) -> None:
        ids, positions = inputs[:2]
        graph = torch.cuda.CUDAGraph()
        try:
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                output = self._forward(ids, positions, attention)
            graph.replay()
            if not torch.allclose(output, expected, rtol=1e-2, atol=1e-2):
                raise RuntimeError("the recorded step gives other numbers")
        except RuntimeError as error:
            self._is_usable = False
            _log.warning("steps are not recorded as CUDA graphs: %s", error)
            return
        self._recorded[key] = _Recorded(graph, inputs, output, attention)
        if len(self._recorded) > _MAX_GRAPHS:
            self._recorded.popitem(last=False)
