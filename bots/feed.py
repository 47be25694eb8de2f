"""Lines of a byte stream, read on a thread of their own so that the event loop never waits for a pipe."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass

_CHUNK_BYTES = 1 << 16
_WAITING_LINES = 64


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its newline; `is_cut` when it was longer than allowed and lost its end."""

    content: bytes
    is_cut: bool = False


async def lines(fd: int, max_bytes: int) -> AsyncGenerator[Line]:
    """Lines of a file descriptor until its end, at most `max_bytes` of each held in memory.

    The thread is a daemon and reads the descriptor itself: a buffered stream would lock the program's exit.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Line | OSError | None] = asyncio.Queue(_WAITING_LINES)

    def deliver(item: Line | OSError | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(item), loop).result()

    def read() -> None:
        try:
            try:
                for line in split(fd, max_bytes):
                    deliver(line)
                deliver(None)
            except OSError as error:
                deliver(error)
        except (RuntimeError, CancelledError):  # the loop is gone: nobody reads any more
            return

    threading.Thread(target=read, name="feed", daemon=True).start()
    while (item := await queue.get()) is not None:
        if isinstance(item, OSError):
            raise item
        yield item


def split(fd: int, max_bytes: int) -> Iterator[Line]:
    """Cut what a descriptor yields at newlines; the last line needs none. Blocks while nothing comes."""
    kept, is_cut = bytearray(), False
    while chunk := os.read(fd, _CHUNK_BYTES):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            is_cut |= len(kept) + len(end) > max_bytes
            kept += end[: max_bytes - len(kept)]
            yield Line(bytes(kept).removesuffix(b"\r"), is_cut)
            kept, is_cut = bytearray(), False
        is_cut |= len(kept) + len(rest) > max_bytes
        kept += rest[: max_bytes - len(kept)]
    if kept:
        yield Line(bytes(kept).removesuffix(b"\r"), is_cut)
