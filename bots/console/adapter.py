"""A chat on a terminal: a prompt with editing, history and completion, and a sign that the bot is typing."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import NestedCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.shortcuts import CompleteStyle
from rich.console import Console

from bots.console.convert import event_from_line, renderable_from_outgoing
from bots.messages import Command, Handler, Outgoing, Usage

PROMPT = FormattedText([("bold ansigreen", "you: ")])


class ConsoleAdapter:
    """One person at one terminal; typed lines are kept in memory only."""

    name: ClassVar[str] = "console"

    def __init__(
        self, handle: Handler, usages: Sequence[Usage], typist: Callable[[], str], console: Console
    ) -> None:
        """Connect the parts.

        Args:
            handle: answers an event.
            usages: the commands offered for completion.
            typist: name of whoever would type now.
            console: where answers appear.
        """
        self._handle, self._typist, self._console = handle, typist, console
        self._usages = usages

    async def run(self, opening: Sequence[Outgoing] = ()) -> None:
        """Show the opening, then answer until /quit, Ctrl-D or Ctrl-C at the prompt."""
        for message in opening:
            self._show(message)
        session = self._session()
        while True:
            try:
                line = await session.prompt_async(PROMPT)
            except (EOFError, KeyboardInterrupt):
                self._show(Outgoing("Bye."))
                return
            if not line.strip():
                continue
            event = event_from_line(line)
            answer = await self._answered(self._handle(event))
            self._show(answer or Outgoing("Stopped."))
            if event == Command("quit"):
                return

    def _session(self) -> PromptSession[str]:
        words = {
            f"/{usage.name}": {choice: None for choice in usage.choices} or None for usage in self._usages
        }
        return PromptSession(
            history=InMemoryHistory(),
            completer=NestedCompleter.from_nested_dict(words),
            complete_style=CompleteStyle.READLINE_LIKE,
            complete_while_typing=False,
        )

    async def _answered(self, work: Coroutine[Any, Any, Outgoing]) -> Outgoing | None:
        """Wait for an answer with a sign of typing; None when Ctrl-C stopped it."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            with _on_interrupt(task.cancel), self._console.status(f"{self._typist()} is typing"):
                await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    def _show(self, message: Outgoing) -> None:
        self._console.print(renderable_from_outgoing(message))


@contextmanager
def _on_interrupt(act: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C runs `act` instead of ending the program, where the platform lets a loop watch signals."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    try:
        loop.add_signal_handler(signal.SIGINT, act)
    except NotImplementedError:  # Windows: Ctrl-C ends the chat
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
