"""LoRA weights by name: read when they are first asked for, and again when their files have changed.

Their memory is bounded: what was used longest ago goes first, and never what a request holds. To be used from
one event loop.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from brain.engine.lora import LoraWeights, StoredLora
from brain.errors import CheckpointError

_MIB = 2**20
_log = logging.getLogger(__name__)


class LoraSource(Protocol):
    """Where LoRA weights come from."""

    def version(self, name: str) -> Hashable:
        """What changes whenever the files do; quick. Raises CheckpointError: there are none."""

    def read(self, name: str) -> StoredLora:
        """The weights as they are now. Raises CheckpointError: they cannot be used."""


@dataclass(slots=True, eq=False)
class _Entry:
    """Weights in memory; `seen` is the newest version of the files that was looked at, `users` requests."""

    weights: LoraWeights
    seen: Hashable
    users: int = 0
    is_replaced: bool = False


class Shelf:
    """The LoRA weights of one model."""

    def __init__(
        self, source: LoraSource | None, place: Callable[[StoredLora], LoraWeights], max_bytes: int
    ) -> None:
        """Begin empty.

        Args:
            source: None when there are never any.
            place: makes weights ready for the model; called in a thread, may block.
            max_bytes: for all of them together.
        """
        self._source, self._place, self._max_bytes = source, place, max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._replaced: list[_Entry] = []  # that requests still run with
        self._loading = asyncio.Lock()
        self._released = asyncio.Event()

    @property
    def num_bytes(self) -> int:
        """Memory of all weights, also of those that were replaced and are still at work."""
        return sum(entry.weights.num_bytes for entry in (*self._entries.values(), *self._replaced))

    @property
    def names(self) -> tuple[str, ...]:
        """What is in memory, used longest ago first."""
        return tuple(self._entries)

    @asynccontextmanager
    async def held(self, name: str | None) -> AsyncIterator[LoraWeights | None]:
        """The weights of this name for as long as they are needed; None for no name.

        Waits while there is no room because all the others are in use. When changed files cannot be used, the
        weights before go on, and the log says why.

        Raises:
            CheckpointError: there are no such weights, they are not for this model, or they are too large.
        """
        if name is None:
            yield None
            return
        entry = self._current(name)
        if entry is None:
            async with self._loading:
                entry = self._current(name) or await self._load(name)  # somebody else may have come first
        self._entries.move_to_end(name)
        entry.users += 1
        try:
            yield entry.weights
        finally:
            entry.users -= 1
            if not entry.users and entry.is_replaced:
                self._replaced.remove(entry)
            self._released.set()

    def _current(self, name: str) -> _Entry | None:
        """What is in memory, if the files are still the same."""
        entry = self._entries.get(name)
        if entry is None or self._source is None:
            return None
        try:
            version = self._source.version(name)
        except CheckpointError:
            version = None  # gone: what is here stays
        return entry if version == entry.seen else None

    async def _load(self, name: str) -> _Entry:
        if self._source is None:
            raise CheckpointError(f"{name}: this model takes no LoRA weights")
        version: Hashable = None
        try:
            version = await asyncio.to_thread(self._source.version, name)
            stored = await asyncio.to_thread(self._source.read, name)
            weights = await asyncio.to_thread(self._place, stored)
            await self._make_room(name, weights.num_bytes)
        except CheckpointError as error:
            entry = self._entries.get(name)
            if entry is None:
                raise
            _log.warning("the LoRA weights before stay in use: %s", error)
            entry.seen = version
            return entry
        return self._put(name, _Entry(weights, version))

    def _put(self, name: str, entry: _Entry) -> _Entry:
        old = self._entries.pop(name, None)
        if old is not None:
            _log.info("%s: replaced by what its files hold now", name)
            if old.users:
                old.is_replaced = True
                self._replaced.append(old)
        self._entries[name] = entry
        return entry

    async def _make_room(self, name: str, num_bytes: int) -> None:
        if num_bytes > self._max_bytes:
            raise CheckpointError(
                f"{name}: the LoRA weights take {num_bytes / _MIB:.1f} MiB, "
                f"brain.lora_mib allows {self._max_bytes / _MIB:g}; raise it"
            )
        while self.num_bytes + num_bytes > self._max_bytes:
            free = [known for known, entry in self._entries.items() if not entry.users]
            if free:
                del self._entries[free[0]]
                continue
            self._released.clear()
            await self._released.wait()
