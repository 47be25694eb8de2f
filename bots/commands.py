"""The slash commands: a table of small coroutines on a chat."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches

from bots.chat import Chat
from bots.messages import Command, Outgoing, Usage
from bots.records import ReplyRecord
from bots.why import explain
from brain.encoding import clean_turn


@dataclass(frozen=True, slots=True)
class Entry:
    """What a command does; `run` gets the chat and the words after the name."""

    summary: str
    run: Callable[[Chat, str], Awaitable[Outgoing]]


async def run(chat: Chat, command: Command) -> Outgoing:
    """Run a command; an unknown one is answered with the nearest known name."""
    entry = COMMANDS.get(command.name)
    if entry is not None:
        return await entry.run(chat, command.argument)
    begun = [name for name in COMMANDS if name.startswith(command.name)]
    nearest = begun or get_close_matches(command.name, COMMANDS, n=1, cutoff=0.5)
    hint = f"did you mean /{nearest[0]}?" if nearest else "/help lists the commands."
    return Outgoing(f"There is no /{clean_turn(command.name)}; {hint}")


def usages(chat: Chat) -> list[Usage]:
    """The commands as offered for completion."""
    choices = {"persona": chat.cast.slugs()}
    return [Usage(name, entry.summary, choices.get(name, ())) for name, entry in COMMANDS.items()]


async def _help(chat: Chat, argument: str) -> Outgoing:
    return Outgoing("\n".join(f"/{name:<8} {entry.summary}" for name, entry in COMMANDS.items()))


async def _reset(chat: Chat, argument: str) -> Outgoing:
    chat.reset()
    return Outgoing("Forgotten. We start anew.")


async def _retry(chat: Chat, argument: str) -> Outgoing:
    reply = await chat.retry()
    if reply is None:
        return Outgoing("There is no reply to draw again; say something first.")
    return Outgoing(reply.text, speaker=chat.persona.name)


async def _undo(chat: Chat, argument: str) -> Outgoing:
    taken = chat.undo()
    return Outgoing(f"Taken back: {clean_turn(taken.text)}" if taken else "There is nothing to take back.")


async def _persona(chat: Chat, argument: str) -> Outgoing:
    if not argument:
        return Outgoing(f"You talk with {chat.persona.name}. There are: {', '.join(chat.cast.slugs())}")
    await chat.become(chat.cast.find(argument))
    greeting = chat.persona.greeting
    return Outgoing(
        greeting or f"You talk with {chat.persona.name} now.", chat.persona.name if greeting else ""
    )


async def _why(chat: Chat, argument: str) -> Outgoing:
    if chat.last is None:
        return Outgoing("There is no reply to explain; say something first.")
    return explain(ReplyRecord.from_reply(chat.last, len(chat.turns) - 1))


async def _quit(chat: Chat, argument: str) -> Outgoing:
    return Outgoing("Bye.")


COMMANDS = {
    "help": Entry("this list", _help),
    "reset": Entry("forget what was said and start anew", _reset),
    "retry": Entry("draw another reply to your last line", _retry),
    "undo": Entry("take back the last exchange", _undo),
    "persona": Entry("who speaks; with a name, talk with that character", _persona),
    "why": Entry("how the last reply was chosen", _why),
    "quit": Entry("leave; Ctrl-D does the same", _quit),
}
