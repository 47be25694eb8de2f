"""A chat on a terminal: a prompt with editing, history and completion, and a sign that the bot is typing."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.shortcuts import CompleteStyle
from rich.console import Console
from rich.text import Text

from bots.console.convert import Clean, event_from_line, renderable_from_outgoing
from bots.messages import Command, Handler, Outgoing, Usage

PROMPT = FormattedText([("bold ansigreen", "you: ")])


class CommandCompleter(Completer):
    """Completes a slash command, then the word after it."""

    def __init__(self, usages: Sequence[Usage]) -> None:
        self._usages = {usage.name: usage for usage in usages}

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What may stand at the cursor; nothing in a line that is no command."""
        name, space, argument = document.text_before_cursor.removeprefix("/").partition(" ")
        if not document.text_before_cursor.startswith("/"):
            return
        known = self._usages.get(name.lower())
        choices = (known.choices if known else ()) if space else tuple(self._usages)
        begun = argument if space else name
        for choice in choices:
            if choice.startswith(begun.lower()):
                summary = "" if space else self._usages[choice].summary
                yield Completion(choice, start_position=-len(begun), display_meta=summary)


class ConsoleAdapter:
    """One person at one terminal; typed lines are kept in memory only."""

    name: ClassVar[str] = "console"

    def __init__(
        self,
        handle: Handler,
        usages: Sequence[Usage],
        typist: Callable[[], str],
        clean: Clean,
        console: Console,
    ) -> None:
        """Connect the parts.

        Args:
            handle: answers an event.
            usages: the commands offered for completion.
            typist: name of whoever would type now.
            clean: leaves one line of visible text, so that nothing shown steers the terminal.
            console: where answers appear.
        """
        self._handle, self._typist, self._console = handle, typist, console
        self._usages, self._clean = usages, clean

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
        return PromptSession(
            history=InMemoryHistory(),
            completer=CommandCompleter(self._usages),
            complete_style=CompleteStyle.READLINE_LIKE,
            complete_while_typing=False,
        )

    async def _answered(self, work: Coroutine[Any, Any, Outgoing]) -> Outgoing | None:
        """Wait for an answer with a sign of typing; None when Ctrl-C stopped it."""
        sign = Text(self._clean(f"{self._typist()} is typing"))  # a str would be read as markup
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            with _on_interrupt(task.cancel), self._console.status(sign):
                await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    def _show(self, message: Outgoing) -> None:
        self._console.print(renderable_from_outgoing(message, self._clean))


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
