"""People on our Telegram and our Discord, one private chat each, for tests of the whole service."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from discord_server import TOKEN, DiscordServer
from killing import FAKE
from wire import WireServer

from tests.bots.telegram.people import message_of
from tests.bots.telegram.server import BotApiServer

TELEGRAM = """\
[telegram]
enabled = true
base_url = "{server.url}"
poll_timeout_s = 2
request_timeout_s = {timeout_s}
max_backoff_s = 0.5
"""
DISCORD = """\
[discord]
enabled = true
api_base = "http://127.0.0.1:{server.port}/api"
gateway_url = "{server.gateway.url}"
session_file = ".banter/discord-session.json"
timeout_s = {timeout_s}
max_backoff_s = 0.5
"""


class TelegramCrowd:
    """`killing.Crowd` on Telegram."""

    name = "TELEGRAM"

    def __init__(self, server: BotApiServer) -> None:
        self.server, self.token = server, server.token

    def section(self, timeout_s: float = 5.0) -> str:
        """Of config.toml."""
        return TELEGRAM.format(server=self.server, timeout_s=timeout_s)

    async def say(self, chat: int, text: str) -> None:
        """Somebody writes."""
        person = {"id": 7000 + chat, "is_bot": False, "first_name": f"Person {chat}"}
        self.server.update(message=message_of(self.server.message_id(), text, 7000 + chat, person))

    def heard(self, chat: int) -> Sequence[str]:
        """What the bot said there."""
        seen = (self.server.sent[number] for number in sorted(self.server.sent))
        return [sent["text"] for sent in seen if int(sent["chat_id"]) == 7000 + chat]


class DiscordCrowd:
    """`killing.Crowd` on Discord, in direct messages."""

    name = "DISCORD"

    def __init__(self, server: DiscordServer, token: str) -> None:
        self.server, self.token = server, token

    def section(self, timeout_s: float = 5.0) -> str:
        """Of config.toml."""
        return DISCORD.format(server=self.server, timeout_s=timeout_s)

    async def say(self, chat: int, text: str) -> None:
        """Somebody writes."""
        person = {"id": str(7000 + chat), "username": f"person{chat}", "global_name": f"Person {chat}"}
        channel = {"id": str(6000 + chat), "type": 1, "recipients": [person]}
        self.server.world.channels.setdefault(channel["id"], channel)
        await self.server.say(text, channel["id"], person)

    def heard(self, chat: int) -> Sequence[str]:
        """What the bot said there."""
        return self.server.said_by_bot(str(6000 + chat))


class WireCrowd:
    """The fake platform in the same clothes."""

    name = "FAKE"
    token = "token-of-the-wire"

    def __init__(self) -> None:
        self.server = self
        self._wire, self._open = WireServer(), AsyncExitStack()

    def section(self, timeout_s: float = 5.0) -> str:
        """Of config.toml."""
        return FAKE.format(port=self._wire.port)

    async def start(self) -> None:
        """Listen, at the same port as before."""
        await self._open.enter_async_context(self._wire.serving())

    async def stop(self) -> None:
        """Cut all connections."""
        await self._open.aclose()

    async def say(self, chat: int, text: str) -> None:
        """Somebody writes."""
        await self._wire.say(chat, text)

    def heard(self, chat: int) -> Sequence[str]:
        """What the bot said there."""
        return self._wire.heard(chat)


AnyCrowd = TelegramCrowd | DiscordCrowd | WireCrowd


@asynccontextmanager
async def telegram(token: str = TOKEN) -> AsyncIterator[TelegramCrowd]:
    """A Telegram that is up."""
    server = BotApiServer(token=token)
    await server.start()
    try:
        yield TelegramCrowd(server)
    finally:
        await server.stop()


@asynccontextmanager
async def discord() -> AsyncIterator[DiscordCrowd]:
    """A Discord that is up."""
    server = DiscordServer()
    await server.start()
    try:
        yield DiscordCrowd(server, TOKEN)
    finally:
        await server.stop()


@asynccontextmanager
async def wire() -> AsyncIterator[WireCrowd]:
    """The fake platform, up; `killing.install` makes its adapter known."""
    crowd = WireCrowd()
    await crowd.start()
    try:
        yield crowd
    finally:
        await crowd.stop()


def variables(*crowds: AnyCrowd) -> dict[str, str]:
    """The tokens, as the environment has them."""
    return {f"BANTER_{crowd.name}__TOKEN": crowd.token for crowd in crowds}
