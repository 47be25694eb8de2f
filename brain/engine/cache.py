"""Keys and values: a shared prefix per prompt, a short suffix per row, and prefixes kept for a chat's next
turn.

Prefixes that are read together lie in buckets of like length, suffixes in one block, both without holes, so
that a step attends to all rows with a few calls. `heads` and `head_size` are those of the model.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_SMALLEST_BUCKET = 32  # tokens; further ones double
_SMALLEST_SUFFIX = 16  # tokens
_INDEX_TOKENS = 8  # kept prefixes are found by their first tokens; shorter ones are not worth keeping


class Bucket:
    """Prefixes of up to `capacity` tokens: `kv` is [layers, 2, slots, heads, capacity, head_size]."""

    def __init__(self, shape: "CacheShape", capacity: int) -> None:
        self.capacity = capacity
        self.keys: list[int] = []  # of the slots in use, the first ones
        self.lens: list[int] = []
        self.kv = shape.empty(1, capacity)

    def add(self, key: int) -> int:
        """Take the next slot, empty; returns its number."""
        slots = self.kv.shape[2]
        if len(self.keys) == slots:
            larger = self.kv.new_zeros((*self.kv.shape[:2], 2 * slots, *self.kv.shape[3:]))
            larger[:, :, :slots] = self.kv
            self.kv = larger
        self.keys.append(key)
        self.lens.append(0)
        return len(self.keys) - 1

    def remove(self, key: int) -> None:
        """Free a slot; the last one moves into it."""
        hole, last = self.keys.index(key), len(self.keys) - 1
        if hole != last:
            length = self.lens[last]
            self.kv[:, :, hole, :, :length] = self.kv[:, :, last, :, :length]
            self.keys[hole], self.lens[hole] = self.keys[last], self.lens[last]
        del self.keys[last], self.lens[last]

    def get(self, key: int) -> Tensor:
        """Keys and values of one prefix, a view [layers, 2, heads, tokens, head_size]."""
        slot = self.keys.index(key)
        return self.kv[:, :, slot, :, : self.lens[slot]]


class CacheShape:
    """What all blocks of one model have in common."""

    def __init__(
        self, num_layers: int, num_heads: int, head_size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.num_layers, self.num_heads, self.head_size = num_layers, num_heads, head_size
        self.dtype, self.device = dtype, device

    def empty(self, rows: int, tokens: int) -> Tensor:
        """Zeros [layers, 2, rows, heads, tokens, head_size]: NaN would spoil what is masked."""
        return torch.zeros(
            (self.num_layers, 2, rows, self.num_heads, tokens, self.head_size),
            dtype=self.dtype,
            device=self.device,
        )


class Prefixes:
    """The prompts of all requests that run."""

    def __init__(self, shape: CacheShape, max_positions: int) -> None:
        self._shape, self._max_positions = shape, max_positions
        self._buckets: dict[int, Bucket] = {}  # by capacity
        self._bucket_of: dict[int, Bucket] = {}  # by key
        self._next_key = 0

    @property
    def buckets(self) -> list[Bucket]:
        """Those with prefixes, small ones first."""
        return [bucket for _, bucket in sorted(self._buckets.items()) if bucket.keys]

    def add(self, num_tokens: int) -> int:
        """Room for a prompt; returns its key."""
        capacity = _SMALLEST_BUCKET
        while capacity < num_tokens:
            capacity *= 2
        capacity = max(min(capacity, self._max_positions), num_tokens)
        if capacity not in self._buckets:
            self._buckets[capacity] = Bucket(self._shape, capacity)
        key, self._next_key = self._next_key, self._next_key + 1
        self._bucket_of[key] = self._buckets[capacity]
        self._bucket_of[key].add(key)
        return key

    def bucket(self, key: int) -> tuple[Bucket, int]:
        """Where a prompt lies: its bucket and slot. Raises KeyError."""
        bucket = self._bucket_of[key]
        return bucket, bucket.keys.index(key)

    def remove(self, key: int) -> None:
        """Free a prompt; the memory of a bucket goes with its last one. Raises KeyError."""
        bucket = self._bucket_of.pop(key)
        bucket.remove(key)
        if not bucket.keys:
            del self._buckets[bucket.capacity]

    def clear(self) -> None:
        """Free all."""
        self._buckets.clear()
        self._bucket_of.clear()


class Suffixes:
    """What the rows have generated: `kv` is [layers, 2, places, heads, capacity, head_size].

    A row of the caller lies at the place `places[row]`; places are dense, so that their number is that of the
    rows, and a row stays where it is for as long as it can.
    """

    def __init__(self, shape: CacheShape) -> None:
        self._shape = shape
        self.places: list[int] = []
        self.lens: list[int] = []  # tokens at each place
        self.kv = shape.empty(0, _SMALLEST_SUFFIX)

    def arrange(self, sources: Sequence[int]) -> None:
        """Let row i continue row sources[i] of before, or start empty where that is negative."""
        old_places, old_lens, num_rows = self.places, self.lens, len(sources)
        places = [-1] * num_rows
        is_free = [True] * num_rows
        for row, source in enumerate(sources):
            place = old_places[source] if source >= 0 else num_rows
            if place < num_rows and is_free[place]:
                places[row], is_free[place] = place, False
        lens = [old_lens[place] if place < len(old_lens) else 0 for place in range(num_rows)]
        self.reserve(num_rows, max(old_lens, default=0) + 1)
        free = [place for place in range(num_rows) if is_free[place]]
        copies: list[tuple[int, int]] = []  # a free place has no row that continues it: none is overwritten
        for row, source in enumerate(sources):
            if places[row] < 0:
                place = places[row] = free.pop()
                lens[place] = 0
                if source >= 0:
                    copies.append((old_places[source], place))
                    lens[place] = old_lens[old_places[source]]
        if copies:
            used = max(lens)
            come, go = (torch.tensor(column, device=self.kv.device) for column in zip(*copies, strict=True))
            self.kv[:, :, go, :, :used] = self.kv[:, :, come, :, :used]
        self.places, self.lens = places, lens

    def clear(self) -> None:
        """Forget all rows and give their memory back."""
        self.places, self.lens = [], []
        self.kv = self._shape.empty(0, _SMALLEST_SUFFIX)

    def reserve(self, num_rows: int, num_tokens: int) -> None:
        """Make room."""
        rows, tokens = self.kv.shape[2], self.kv.shape[4]
        if num_rows <= rows and num_tokens <= tokens:
            return
        while tokens < num_tokens:
            tokens *= 2
        while rows < num_rows:
            rows = max(2 * rows, num_rows if rows == 0 else 1)
        larger = self._shape.empty(rows, tokens)
        larger[:, :, : self.kv.shape[2], :, : self.kv.shape[4]] = self.kv
        self.kv = larger


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What was read, and by whom: with other LoRA weights its keys and values are others."""

    ids: tuple[int, ...]
    reader: Hashable

    @property
    def head(self) -> tuple[Hashable, ...]:
        """What it is found by."""
        return (self.reader, *self.ids[:_INDEX_TOKENS])


class KeptPrefixes:
    """Prompts of past requests for the next turns of their chats; least recently used out."""

    def __init__(self, max_bytes: int) -> None:
        """Keep at most so many bytes; 0 keeps nothing."""
        self.num_bytes = 0
        self._max_bytes = max_bytes
        self._kept: OrderedDict[_Prompt, Tensor] = OrderedDict()  # [layers, 2, heads, tokens, head_size]
        self._index: dict[tuple[Hashable, ...], set[_Prompt]] = {}

    def longest(self, ids: Sequence[int], reader: Hashable = None) -> tuple[int, Tensor | None]:
        """How many first tokens of a prompt are kept, at least one less than it has, and what was kept.

        Args:
            reader: equal for equal LoRA weights to read it with, None for the model's own alone.
        """
        best: _Prompt | None = None
        common = 0
        for other in self._index.get(_Prompt(tuple(ids), reader).head, ()):
            same = _num_common(ids, other.ids)
            if same > common:
                best, common = other, same
        common = min(common, len(ids) - 1)
        if best is None or common < _INDEX_TOKENS:
            return 0, None
        self._kept.move_to_end(best)
        return common, self._kept[best]

    def keep(self, ids: tuple[int, ...], kv: Tensor, reader: Hashable = None) -> None:
        """Keep a copy of a prompt [layers, 2, heads, tokens, head_size], in place of its own beginnings."""
        size = kv.numel() * kv.element_size()
        if len(ids) < _INDEX_TOKENS or size > self._max_bytes:
            return
        prompt = _Prompt(ids, reader)
        for other in list(self._index.get(prompt.head, ())):
            same = _num_common(ids, other.ids)
            if same == len(ids):
                self._kept.move_to_end(other)
                return
            if same == len(other.ids):
                self._drop(other)
        while self.num_bytes + size > self._max_bytes:
            self._drop(next(iter(self._kept)))
        self._kept[prompt] = kv.clone()
        self._index.setdefault(prompt.head, set()).add(prompt)
        self.num_bytes += size

    def _drop(self, prompt: _Prompt) -> None:
        kv = self._kept.pop(prompt)
        self.num_bytes -= kv.numel() * kv.element_size()
        group = self._index[prompt.head]
        group.discard(prompt)
        if not group:
            del self._index[prompt.head]


def _num_common(left: Sequence[int], right: Sequence[int]) -> int:
    for place, (mine, other) in enumerate(zip(left, right, strict=False)):
        if mine != other:
            return place
    return min(len(left), len(right))
