"""An event becomes its answer: a command is run, anything else is said to the brain."""

from bots import commands
from bots.chat import Chat
from bots.errors import BotError
from bots.messages import Command, Outgoing, Request
from brain.encoding import clean_turn
from brain.errors import BrainError


class Dispatcher:
    """Answers the events of one chat; what goes wrong on purpose is told in words."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def __call__(self, event: Request) -> Outgoing:
        """The answer to one event."""
        try:
            if isinstance(event, Command):
                return await commands.run(self._chat, event)
            reply = await self._chat.say(event.text)
            return Outgoing(reply.text, speaker=self._chat.persona.name)
        except (BotError, BrainError) as error:
            return Outgoing(f"That did not work: {clean_turn(str(error))}")
