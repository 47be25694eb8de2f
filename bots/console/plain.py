"""A chat through a pipe: for each line in, exactly one line out."""

import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol


class Received(Protocol):
    """A line as bytes, without its newline."""

    @property
    def content(self) -> bytes: ...


async def run(
    lines: AsyncIterator[Received], say: Callable[[str], Awaitable[str]], write: Callable[[str], None]
) -> None:
    """Answer line by line until the lines end; slash commands are ordinary text here.

    Args:
        lines: what comes in; bytes that are not UTF-8 become U+FFFD.
        say: gives the reply to a line, an empty one included.
        write: gets each reply as one line without newlines and control characters; it flushes.
    """
    async for line in lines:
        write(one_line(await say(line.content.decode("utf-8", errors="replace"))))


def one_line(text: str) -> str:
    """White space folded, control characters dropped."""
    return "".join(char for char in " ".join(text.split()) if unicodedata.category(char) != "Cc")
