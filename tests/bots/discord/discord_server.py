"""A Discord of our own on the loopback: a gateway, REST, and one person who talks with the bot.

`python tests/bots/discord/discord_server.py` runs it alone; set api_base and gateway_url to what it prints.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from discord_gateway import GatewayServer
from discord_rest import RestServer, is_allowed, refusal
from discord_world import ANN, BOT, DIRECT, GUILD, MEMBER, PUBLIC, TOKEN, Json, Talk, World
from pydantic import SecretStr

from bots.discord.adapter import DiscordAdapter
from bots.discord.config import DiscordConfig
from bots.messages import ChatKey
from bots.testing import Fault, RecordingSink


class DiscordServer:
    """`bots.testing.Platform`, with more that a test may ask for."""

    keeps_unheard = True
    chat = ChatKey("discord", str(BOT["id"]), DIRECT)

    def __init__(self) -> None:
        self.world = World()
        self.gateway, self.rest = GatewayServer(self.world), RestServer(self.world)
        self.fault: Fault | None = None
        self.answer: str | None = None  # to each request, whatever it asks for
        self.broken_path, self.broken_status = "", 503  # requests to it fail so
        self.port = 0
        self._over = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen, at the same port as before."""
        app = web.Application(middlewares=[self._misbehave])
        app.add_routes([*self.rest.routes(), web.get("/gateway/", self.gateway.handle)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.gateway.url = f"ws://127.0.0.1:{self.port}/gateway/"

    async def stop(self) -> None:
        """Break all connections and listen no more."""
        self._over.set()
        self.gateway.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    def config(self, **more: Any) -> DiscordConfig:
        given = {
            "timeout_s": 0.5,
            "max_backoff_s": 0.2,
            "heartbeat_timeout_s": 30.0,
            "session_file": "",
            **more,
        }
        return DiscordConfig(
            token=SecretStr(TOKEN),
            api_base=f"http://127.0.0.1:{self.port}/api",
            gateway_url=f"ws://127.0.0.1:{self.port}/gateway/",
            **given,
        )

    def adapter(self, **more: Any) -> DiscordAdapter:
        return DiscordAdapter(self.config(**more))

    async def say(
        self, text: str, channel: str = DIRECT, author: Json = ANN, mentions: Sequence[Json] = (), **more: Any
    ) -> Json:
        """Somebody writes."""
        made = self.world.message(channel, author, text, mentions=list(mentions), **more)
        await self.gateway.dispatch("MESSAGE_CREATE", {**made, **self._place(channel)})
        return made

    async def command(self, name: str, argument: str = "", channel: str = DIRECT, **more: Any) -> Talk:
        """Somebody gives a slash command."""
        options = [{"name": "argument", "type": 3, "value": argument}] if argument else []
        return await self._interact(2, channel, {"name": name, "type": 1, "options": options, **more})

    async def press(self, message: str, custom_id: str, channel: str = DIRECT) -> Talk:
        """Somebody presses a button."""
        return await self._interact(3, channel, {"custom_id": custom_id}, message={"id": message})

    async def complete(self, name: str, typed: str) -> Talk:
        """Somebody types the argument of a command."""
        options = [{"name": "argument", "type": 3, "value": typed, "focused": True}]
        return await self._interact(4, DIRECT, {"name": name, "options": options})

    async def _interact(self, kind: int, channel: str, data: Json, **more: Any) -> Talk:
        number = self.world.new_id()
        talk = self.world.talks[number] = Talk(f"talk-{number}", channel, time.monotonic())
        place = self._place(channel)
        person = {"member": {"user": ANN, **place["member"]}} if place else {"user": ANN, "context": 1}
        who = {"id": number, "application_id": "1001", "token": talk.token, "channel_id": channel}
        payload = {**who, "type": kind, "data": data, **place, **person, **more}
        await self.gateway.dispatch("INTERACTION_CREATE", payload)
        return talk

    def _place(self, channel: str) -> Json:
        guild = self.world.channels[channel].get("guild_id")
        return {"guild_id": guild, "member": MEMBER} if guild else {}

    def texts(self) -> Sequence[str]:
        """What the bot has said in the direct channel."""
        return self.said_by_bot(DIRECT)

    def said_by_bot(self, channel: str) -> list[str]:
        found = self.world.messages.get(channel, [])
        return [one["content"] for one in found if one["author"] is BOT and one["content"]]

    def num_acknowledged(self) -> int | None:
        return None

    def set_fault(self, fault: Fault | None) -> bool:
        """Misbehave from now on."""
        self.fault = fault
        self._over.set()
        self._over = asyncio.Event()
        self.gateway.close_code = 4004 if fault == "unauthorized" else None
        for line in self.gateway.lines:
            line.is_silent = fault == "silent"
        if fault == "unauthorized":
            self.gateway.close_all(4004)
        elif fault == "down":
            self.gateway.abort()
        return fault != "conflict"

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.world.calls.append(f"{request.method} {request.path}")
        if not is_allowed(request) or (self.fault == "unauthorized" and request.path != "/gateway/"):
            return refusal(401)
        if request.path == self.broken_path:
            return refusal(self.broken_status)
        if self.answer is not None:
            return web.Response(text=self.answer, content_type="application/json")
        match self.fault:
            case "down":
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionResetError
            case "silent":
                await self._over.wait()
                raise ConnectionResetError
            case "server_error":
                return refusal(500)
            case "garbled" if request.path != "/gateway/":
                return web.Response(text="<html>It works!", content_type="text/html")
            case "rate_limited" if request.path != "/gateway/":
                return refusal(429, retry_after=0.1, **{"global": False})
            case "gone" if request.method == "POST" and request.path.endswith("/messages"):
                return refusal(403, 50007)
        return await handler(request)


@asynccontextmanager
async def running(adapter: DiscordAdapter, sink: RecordingSink) -> AsyncIterator[DiscordAdapter]:
    """An adapter that is connected."""
    before = len(sink.healths)
    task = asyncio.ensure_future(adapter.run(sink))
    try:
        await sink.wait_for(lambda seen: "connected" in [one.state for one in seen.healths[before:]])
        yield adapter
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(is_so: Callable[[], Any]) -> None:
    """Wait for something on the server's side, where nothing wakes us."""
    for _ in range(500):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


__all__ = ["ANN", "BOT", "DIRECT", "GUILD", "PUBLIC", "TOKEN", "DiscordServer", "running", "until"]


async def _alone() -> None:
    server = DiscordServer()
    await server.start()
    print(f'api_base = "http://127.0.0.1:{server.port}/api"')
    print(f'gateway_url = "{server.gateway.url}"')
    print(f"BANTER_DISCORD__TOKEN={TOKEN}")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_alone())
