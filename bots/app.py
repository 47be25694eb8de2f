"""The composition root: settings become a brain and a cast, these a verb at work."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bots import feed, lines, selfplay
from bots.cast import Cast
from bots.chat import Chat
from bots.console import plain
from bots.errors import SettingsError
from bots.settings import Settings, load
from brain.encoding import clean_turn
from brain.persona import Persona, find_persona

if TYPE_CHECKING:
    from bots.service import Enabled
    from brain.brain import Brain

STDIN = 0


@dataclass(frozen=True, slots=True)
class House:
    """What every verb works with."""

    settings: Settings
    brain: "Brain"
    cast: Cast
    persona: Persona


Verb = Callable[[House], Awaitable[None]]


def is_terminal() -> bool:
    """Whether a person sits at both ends."""
    return os.isatty(STDIN) and sys.stdout.isatty()


def work(file: Path | None, flags: Mapping[str, object], verb: Verb) -> None:
    """Read the settings, load the model, do one verb, close the model.

    Args:
        file: as `settings.load` takes it.
        flags: likewise; they win over a character's own values too.
        verb: runs on the event loop.
    Raises:
        BrainError, BotError: as the verb does.
    """
    settings = load(file, flags)
    persona = find_persona(settings.persona, settings.persona_root)
    config = settings.brain
    if persona.model and not flags.get("brain.model"):
        config = config.merge({"model": persona.model}, f"character {persona.slug}")
    method = flags.get("brain.decoding.method")
    cast = Cast(settings.persona_root, config, {"method": method} if method else {})
    with _waiting(f"Loading {config.model}"):
        from brain.build import build  # torch and transformers come with it: seconds

        brain = build(config)

    async def run() -> None:
        try:
            with _woken_by_signals():
                await brain.prepare(persona, strictly=True)
                await verb(House(settings, brain, cast, persona))
        finally:
            await brain.close()

    asyncio.run(run())


def serve(adapters: "Sequence[Enabled]") -> Verb:
    """The verb behind `banter run`."""

    async def run(house: House) -> None:
        from bots.service import Service

        await Service(house.brain, house.cast, house.persona, house.settings, adapters).run()

    return run


async def chat(house: House) -> None:
    """Talk on the terminal, or line by line through a pipe."""
    talk = Chat(house.brain, house.cast, house.persona, house.settings.seed)
    if house.settings.chat.plain or not is_terminal():
        await _chat_plainly(talk, house.settings.lines.max_line_bytes)
    else:
        await _chat_on_terminal(talk)


async def _chat_plainly(talk: Chat, max_line_bytes: int) -> None:
    num_empty = 0

    async def say(text: str) -> str:
        nonlocal num_empty
        if clean_turn(text):
            return (await talk.say(text)).text
        num_empty += 1  # nothing was said: it does not enter the history
        return talk.persona.fallback[(num_empty - 1) % len(talk.persona.fallback)]

    async with aclosing(feed.lines(STDIN, max_line_bytes)) as received:
        await plain.run(received, say, write_line)


async def _chat_on_terminal(talk: Chat) -> None:
    from rich.console import Console

    from bots import commands
    from bots.console.adapter import ConsoleAdapter
    from bots.dispatch import Dispatcher
    from bots.messages import Outgoing

    opening = [Outgoing("/help lists what you can do, Ctrl-D leaves.")]
    if talk.persona.greeting:  # shown, not remembered: the model answers what was said to it
        opening.append(Outgoing(talk.persona.greeting, speaker=talk.persona.name))
    console = Console(highlight=False)
    usages = commands.usages(talk)
    adapter = ConsoleAdapter(Dispatcher(talk), usages, lambda: talk.persona.name, clean_turn, console)
    await adapter.run(opening)


def self_play(opening: str) -> Verb:
    """The verb that lets the bot talk with itself.

    Raises:
        SettingsError: the opening has no text.
    """
    if not clean_turn(opening):
        raise SettingsError("TEXT is empty; give the bot something to begin with")

    async def play(house: House) -> None:
        settings = house.settings.selfplay
        names = ("one", "two") if is_terminal() and not settings.plain else None
        turns = selfplay.play(house.brain, house.cast, house.persona, opening, house.settings.seed)
        num_turns = 0
        async with aclosing(turns):
            async for turn in turns:
                write_line(f"{names[num_turns % 2]}: {turn.text}" if names else turn.text)
                num_turns += 1
                if num_turns == settings.turns:
                    return

    return play


def json_lines(kind: Literal["reply", "score"]) -> Verb:
    """The verb that answers one JSON object per line."""

    async def answer(house: House) -> None:
        if kind == "reply":
            answerer = lines.replier(house.brain, house.cast, house.persona, house.settings.seed)
        else:
            answerer = lines.scorer(house.brain)
        limits = house.settings.lines
        async with aclosing(feed.lines(STDIN, limits.max_line_bytes)) as received:
            await lines.run(received, answerer, write_line, limits.max_in_flight)

    return answer


def write_line(text: str) -> None:
    """One line of visible text on stdout, at once, in UTF-8 whatever the locale says."""
    sys.stdout.buffer.write(clean_turn(text).encode("utf-8") + b"\n")
    sys.stdout.buffer.flush()


@contextmanager
def _woken_by_signals() -> Iterator[None]:
    """Let every signal wake the loop.

    asyncio's own Ctrl-C handler runs between bytecodes: for a signal that comes after the last of them and
    before the loop sleeps it would run only when something else wakes the loop.
    """
    loop = asyncio.get_running_loop()
    receiver, sender = socket.socketpair()
    with receiver, sender:
        receiver.setblocking(False)
        sender.setblocking(False)
        try:
            loop.add_reader(receiver, receiver.recv, 1)
        except NotImplementedError:  # Windows' loop wakes up by itself
            yield
            return
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(receiver)


@contextmanager
def _waiting(text: str) -> Iterator[None]:
    """A sign of work on stderr, if somebody looks at it."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(clean_turn(text))):  # a str would be read as markup
        yield
