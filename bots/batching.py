"""Many small pieces of work done together: what comes in while one batch is written forms the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Batcher(Generic[_Item, _Result]):
    """Collects items and hands them to `work` in order; alone it adds one turn of the loop.

    A batch that fails is done again item by item, so that one bad item fails alone.
    """

    def __init__(
        self, work: Callable[[Sequence[_Item]], Awaitable[Sequence[_Result]]], max_items: int = 256
    ) -> None:
        """`work` gives one result per item, in order, and does all of a batch or nothing."""
        self._work, self._max_items = work, max_items
        self._queue: asyncio.Queue[tuple[_Item, asyncio.Future[_Result]]] = asyncio.Queue(8 * max_items)

    async def add(self, item: _Item) -> _Result:
        """The result of one item; raises what its work raised."""
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        await self._queue.put((item, future))
        return await future

    async def run(self) -> None:
        """Work until cancelled; what waits then is cancelled too."""
        batch: list[tuple[_Item, asyncio.Future[_Result]]] = []
        try:
            while True:
                batch = [await self._queue.get()]
                while len(batch) < self._max_items and not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                await self._do(batch)
        finally:
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            for _, future in batch:
                future.cancel()

    async def _do(self, batch: Sequence[tuple[_Item, "asyncio.Future[_Result]"]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # whatever it is goes to whoever asked
            if len(batch) == 1:
                _settle(batch[0][1], error)
                return
            for one in batch:
                await self._do([one])
            return
        for (_, future), result in zip(batch, results, strict=True):
            _settle(future, result)


def _settle(future: "asyncio.Future[_Result]", outcome: _Result | Exception) -> None:
    if future.done():  # whoever asked was cancelled meanwhile
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
