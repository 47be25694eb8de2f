"""The console as one adapter among others: the terminal of `banter run`, with inbox and outbox."""

import io
import signal
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stderr
from datetime import UTC, datetime
from typing import ClassVar
from uuid import uuid4

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_session
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.patch_stdout import patch_stdout
from pydantic import BaseModel
from rich.console import Console

from bots.console.convert import event_from_line, renderable_from_outgoing
from bots.errors import AdapterOffline, Busy, MessageTooLong, SendFailed
from bots.messages import (
    API_VERSION,
    LOCAL,
    AdapterConfig,
    Caps,
    Health,
    Limits,
    MessageRef,
    Origin,
    Outgoing,
    Sink,
    storable,
)


class ConsoleConfig(AdapterConfig):
    """The section [console] of config.toml."""

    prompt: str = "you: "  # what stands before the line being typed


class ConsoleService:
    """One person at the terminal of the process; nothing typed while it was down can come again."""

    name: ClassVar[str] = "console"
    api_version: ClassVar[int] = API_VERSION
    Config: ClassVar[type[BaseModel]] = ConsoleConfig
    caps = Caps()
    limits = Limits(max_len=100_000)

    def __init__(self, config: ConsoleConfig, screen: Console | None = None) -> None:
        """Show on `screen`, else on the terminal."""
        self._config = config
        self._screen = screen or Console(highlight=False)
        self._is_running = False

    async def run(self, sink: Sink) -> None:
        """Offer line by line; returns after Ctrl-D and after Ctrl-C, which it also hands to the program.

        What is answered after that can still be shown.

        Raises:
            AdapterOffline: there is no terminal to read from.
        """
        with redirect_stderr(io.StringIO()):  # a pipe is as good as a terminal here; it would be warned of
            keyboard = get_app_session().input
        session: PromptSession[str] = PromptSession(history=InMemoryHistory(), input=keyboard)
        self._is_running = True
        try:
            with _above_the_prompt():
                sink.report(Health("connected"))
                while True:
                    # handle_sigint would take the program's own handler away, and with it the draining.
                    line = await session.prompt_async(self._config.prompt, handle_sigint=False)
                    if line.strip():
                        await self._offer(line, sink)
        except EOFError:
            return
        except KeyboardInterrupt:  # the terminal is in raw mode: Ctrl-C came as a key
            signal.raise_signal(signal.SIGINT)
        except OSError as error:
            raise AdapterOffline(f"console: the terminal cannot be read: {error.strerror}") from error

    async def send(self, message: Outgoing) -> MessageRef:
        """Show a message above the line being typed."""
        length = self.limits.length(message.text)
        if length > self.limits.max_len:
            raise MessageTooLong(length, self.limits.max_len)
        if not self._is_running:
            raise SendFailed("console: it is not running yet")
        self._screen.print(renderable_from_outgoing(message, _visible))
        return MessageRef(message.chat, uuid4().hex)

    async def _offer(self, line: str, sink: Sink) -> None:
        key = uuid4().hex
        origin = Origin(
            key=key,
            chat=LOCAL.chat,
            when=datetime.now(UTC),
            user=LOCAL.user,
            is_private=True,
            message_id=key,
        )
        try:
            await sink.accept(event_from_line(storable(line), origin))
        except Busy:  # the person is here and can type it again
            self._screen.print(
                renderable_from_outgoing(Outgoing("Too much is waiting; try again."), _visible)
            )


def _above_the_prompt() -> AbstractContextManager[None]:
    return patch_stdout(raw=True) if sys.stdout.isatty() else nullcontext()


def _visible(text: str) -> str:
    """Without anything that steers a terminal or changes the direction of writing."""
    return "".join(char for char in text if char.isprintable())
