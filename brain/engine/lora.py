"""LoRA weights beside a model's own: every row of a batch with those of its own character.

Rows with the same weights are brought together, so that all characters of a batch cost two batched products
per matrix however many they are. The plan is made once per step and used in every layer.

Source: Hu et al. 2022, y = W x + (alpha / rank) B A x. Many of them in one batch: Chen et al. 2023 (Punica)
and Sheng et al. 2023 (S-LoRA), who have kernels of their own for it.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brain.engine.shape import GPT2Shape
from brain.errors import CheckpointError

Place = tuple[int, str]  # layer, and name of a matrix as in `brain.engine.shape`
_MOST_PADDING = 3  # rows computed per row wanted, before weights are taken one after the other


@dataclass(frozen=True, slots=True, eq=False)
class LoraWeights:
    """What one character adds to the matrices of its base; compared by identity, never changed.

    `pairs` has by place `down` [in, rank] and `up` [rank, out], the latter times the scale, both in the dtype
    and on the device of the model. `version` is equal only for what was read from the same files: prompts are
    kept by it.
    """

    version: Hashable
    pairs: Mapping[Place, tuple[Tensor, Tensor]]

    @property
    def num_bytes(self) -> int:
        """Memory of all pairs."""
        return sum(part.numel() * part.element_size() for pair in self.pairs.values() for part in pair)


@dataclass(frozen=True, slots=True, eq=False)
class StoredLora:
    """LoRA weights as they lie in files.

    `parts` has by place A [rank, in], B [out, rank] and the scale of their product; `version` as above.
    """

    name: str
    version: Hashable
    parts: Mapping[Place, tuple[Tensor, Tensor, float]]


Loras = Sequence[LoraWeights | None]  # one for each prompt, span or row; None for the base alone


class LoraStack:
    """Several LoRA weights side by side: for each place [members, in, rank] and [members, rank, out].

    A smaller rank is filled up with zeros, and so is a matrix that some of them leave alone.
    """

    def __init__(self, members: Sequence[LoraWeights]) -> None:
        self.members = list(members)
        self.slot_of = {weights: slot for slot, weights in enumerate(self.members)}
        places = dict.fromkeys(place for weights in self.members for place in weights.pairs)
        self.pairs = {place: _stacked([weights.pairs.get(place) for weights in members]) for place in places}

    def serves(self, wanted: Sequence[LoraWeights]) -> bool:
        """Whether it has all that are wanted, and not too many besides: each costs memory and time."""
        return len(self.members) <= 2 * len(wanted) and all(weights in self.slot_of for weights in wanted)


class LoraRows:
    """Which weights each row of one forward pass goes through."""

    def __init__(self, stack: LoraStack, of: Loras, device: torch.device) -> None:
        """Plan a pass; `of` has the weights of each row, at least one of which has some."""
        rows_of: dict[int, list[int]] = {}
        for row, weights in enumerate(of):
            if weights is not None:
                rows_of.setdefault(stack.slot_of[weights], []).append(row)
        num_members, widest = len(stack.members), max(map(len, rows_of.values()))
        self._pairs, self._num_rows = stack.pairs, len(of)
        self._only = next(iter(rows_of)) if len(rows_of) == 1 else None
        self._runs: list[tuple[int, int, int]] = []  # slot, and where its rows begin and end among the sorted
        ordered = sorted(rows_of.items())
        num_wanted = sum(len(rows) for _, rows in ordered)
        is_grid = self._only is None and num_members * widest <= _MOST_PADDING * num_wanted
        self._grid = (num_members, widest) if is_grid else None
        come: list[int] = []  # the row at each place of the sorted, or of the grid
        go: list[tuple[int, int]] = []  # row, and its place
        for slot, rows in ordered:
            start = slot * widest if is_grid else len(come)
            come += [rows[0]] * (start - len(come)) + rows
            go += [(row, start + place) for place, row in enumerate(rows)]
            self._runs.append((slot, start, start + len(rows)))
        if is_grid:
            come += [come[-1]] * (num_members * widest - len(come))
        go.sort()
        self._rows = torch.tensor([row for row, _ in go], device=device)
        self._come = torch.tensor(come, device=device)
        self._places = torch.tensor([place for _, place in go], device=device)
        self._is_sorted = come == list(range(len(of)))
        self._has_all = len(go) == len(of)

    def has(self, place: Place) -> bool:
        """Whether anybody's weights change this matrix."""
        return place in self._pairs

    def add(self, place: Place, x: Tensor, y: Tensor) -> Tensor:
        """Add to y [rows, out], in place, what the weights make of x [rows, in]; further rows are padding.

        Raises:
            KeyError: nobody's weights change this matrix.
        """
        pair = self._pairs[place]
        sorted_x = x[: self._num_rows] if self._is_sorted else x[self._come]
        if self._is_sorted and self._only is not None:
            down, up = (part[self._only] for part in pair)
            y[: self._num_rows].addmm_(sorted_x @ down, up)
            return y
        added = self._through(sorted_x, *pair)
        if self._has_all:
            y[: self._num_rows] += added if self._is_sorted else added[self._places]
        else:
            y.index_copy_(0, self._rows, y[self._rows] + added[self._places])
        return y

    def _through(self, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        """What is added to sorted rows: [places, in] to [places, out]."""
        if self._grid is not None:
            return torch.bmm(torch.bmm(x.view(*self._grid, x.shape[1]), down), up).flatten(0, 1)
        return torch.cat([x[start:stop] @ down[slot] @ up[slot] for slot, start, stop in self._runs])


class LoraPlanner:
    """Plans passes, and keeps the newest stack: those who talk change more seldom than steps are made."""

    def __init__(self) -> None:
        self._stack: LoraStack | None = None

    def rows(self, of: Loras, device: torch.device) -> LoraRows | None:
        """The plan of a pass over rows with these weights; None when none has any."""
        wanted = list(dict.fromkeys(weights for weights in of if weights is not None))
        if not wanted:
            return None
        if self._stack is None or not self._stack.serves(wanted):
            self._stack = LoraStack(wanted)
        return LoraRows(self._stack, of, device)

    def forget(self) -> None:
        """Give the memory of the stack back."""
        self._stack = None


def placed(stored: StoredLora, shape: GPT2Shape, device: torch.device, dtype: torch.dtype) -> LoraWeights:
    """Weights of files, beside a model.

    Raises:
        CheckpointError: they are not of this model's sizes, or hold what is no number.
    """
    pairs = {}
    for (layer, matrix), (a, b, scale) in stored.parts.items():
        num_in, num_out = shape.matrix_shapes[matrix]
        if layer >= shape.num_layers or (a.shape[1], b.shape[0]) != (num_in, num_out):
            raise CheckpointError(
                f"{stored.name}: the LoRA weights do not fit the model: {matrix} of layer {layer} is "
                f"[{a.shape[1]}, {b.shape[0]}], the model has [{num_in}, {num_out}] in "
                f"{shape.num_layers} layers"
            )
        down, up = a.t().to(device, torch.float32), scale * b.t().to(device, torch.float32)
        if not (down.sum() + up.sum()).isfinite():
            raise CheckpointError(f"{stored.name}: the LoRA weights hold values that are no numbers")
        pairs[layer, matrix] = (down.to(dtype).contiguous(), up.to(dtype).contiguous())
    return LoraWeights(stored.version, pairs)


def _stacked(pairs: Sequence[tuple[Tensor, Tensor] | None]) -> tuple[Tensor, Tensor]:
    known = [pair for pair in pairs if pair is not None]
    rank = max(down.shape[1] for down, _ in known)
    (num_in, _), (_, num_out) = known[0][0].shape, known[0][1].shape
    down = known[0][0].new_zeros(len(pairs), num_in, rank)
    up = known[0][1].new_zeros(len(pairs), rank, num_out)
    for slot, pair in enumerate(pairs):
        if pair is not None:
            down[slot, :, : pair[0].shape[1]] = pair[0]
            up[slot, : pair[1].shape[0]] = pair[1]
    return down, up
