"""The fake platform seen from another process: a server around it, and an adapter that speaks to that."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from pydantic import BaseModel, SecretStr

from bots.errors import AdapterOffline, SendFailed
from bots.messages import AdapterConfig, ChatKey, Outgoing
from bots.testing import FakeAdapter, FakeConfig, FakePlatform
from bots.testing.fakes import Said


class WireServer:
    """Serves a FakePlatform on a free port of the loopback; one JSON object per line each way."""

    def __init__(self) -> None:
        self.platform = FakePlatform()
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["WireServer"]:
        """Until the end of the block; connections that are open then are cut."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in tuple(self._writers):
                writer.close()

    async def say(self, chat: int, text: str) -> None:
        """Somebody writes in a chat."""
        await self.platform.say(text, str(chat), f"person {chat}")

    def heard(self, chat: int) -> list[str]:
        """What the bot said there, oldest first."""
        return [message.text for message in self.platform.sent if message.chat.chat == str(chat)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                answer = await self._answer(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, asked: dict[str, Any]) -> Any:
        if asked["do"] == "fetch":
            said = await self.platform.fetch(asked["acknowledged"])
            return [[one.id, one.text, one.chat, one.user] for one in said]
        chat = ChatKey("fake", "bot", asked["chat"])
        return await self.platform.post(Outgoing(asked["text"], chat=chat, nonce=asked["nonce"]))


class WireClient:
    """What FakeAdapter asks of a platform, over the wire: one connection to fetch, one to post."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lines: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self._locks = {"fetch": asyncio.Lock(), "post": asyncio.Lock()}

    async def connect(self) -> None:
        """Open both."""
        try:
            for name in self._locks:
                self._lines[name] = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as error:
            raise AdapterOffline("wire: nobody answers") from error

    async def fetch(self, acknowledged: int) -> Sequence[Said]:
        """Messages after that number."""
        return [Said(*one) for one in await self._ask("fetch", acknowledged=acknowledged)]

    async def post(self, message: Outgoing) -> str:
        """Take a message of the bot; its id."""
        try:
            said = {"text": message.text, "chat": message.chat.chat, "nonce": message.nonce}
            return str(await self._ask("post", **said))
        except AdapterOffline as error:
            raise SendFailed("wire: cut", is_sent_maybe=True) from error

    async def _ask(self, verb: str, **values: Any) -> Any:
        async with self._locks[verb]:
            try:
                reader, writer = self._lines[verb]
                writer.write(json.dumps({"do": verb, **values}).encode() + b"\n")
                await writer.drain()
                return json.loads(await reader.readline())
            except (OSError, KeyError, json.JSONDecodeError) as error:
                raise AdapterOffline("wire: cut") from error


class WireConfig(AdapterConfig):
    """The section [fake]; the platform of the fake gives its events this name."""

    token: SecretStr
    port: int


class WireAdapter(FakeAdapter):
    """The fake, far from its platform."""

    Config: ClassVar[type[BaseModel]] = WireConfig

    def __init__(self, config: WireConfig) -> None:
        super().__init__(FakeConfig(token=config.token), WireClient(config.port))  # type: ignore[arg-type]
