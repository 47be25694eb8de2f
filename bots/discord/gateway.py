"""The gateway through discord.py's client: identify, heartbeats and resuming are the library's.

Ours is the loop around them, since `Client.connect` ends for good at the first payload it cannot read, dies
when the first connection fails (Rapptz/discord.py#10520), and knows one address only.
"""

import asyncio
import json
import logging
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import discord
import yarl
from discord.errors import ConnectionClosed
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from bots.discord.backoff import Backoff
from bots.discord.config import DiscordConfig
from bots.discord.memory import Session
from bots.discord.rest import Rest
from bots.errors import AdapterUnauthorized
from bots.messages import Health

# Name of a dispatch, its payload, and the session as far as it has come with it.
Hear = Callable[[str, Any, Session | None], None]
DISPATCHES = (
    "READY",
    "RESUMED",
    "MESSAGE_CREATE",
    "MESSAGE_UPDATE",
    "MESSAGE_DELETE",
    "MESSAGE_DELETE_BULK",
    "MESSAGE_REACTION_ADD",
    "MESSAGE_REACTION_REMOVE",
    "INTERACTION_CREATE",
    "GUILD_CREATE",
    "GUILD_DELETE",
    "CHANNEL_DELETE",
    "THREAD_DELETE",
)
INTENT_MISSING = (
    "discord: the message content intent is off; switch it on in the Developer Portal under Bot, "
    "Privileged Gateway Intents, or set message_content = false to hear only direct messages and mentions"
)
_FINAL = {
    4004: "discord: the token is refused; reset it in the Developer Portal under Bot",
    4010: "discord: the gateway refuses our shard",
    4011: "discord: the bot is in so many servers that it needs sharding, which is not built in",
    4012: "discord: the gateway no longer speaks version 10",
    4013: "discord: the gateway does not know our intents",
    4014: INTENT_MISSING,
}
_log = logging.getLogger(__name__)


class Gateway:
    """Keeps a session alive until cancelled, and hands over each dispatch as it comes."""

    def __init__(
        self, config: DiscordConfig, rest: Rest, hear: Hear, report: Callable[[Health], None]
    ) -> None:
        """Both callbacks are called on the loop and must not wait."""
        self._config, self._rest, self._hear, self._report = config, rest, hear, report
        self.session: Session | None = None  # set before, it is resumed
        self._is_ready = False
        self._socket: DiscordWebSocket | None = None
        # At DEBUG the library logs whole payloads, tokens of interactions included; we have no use for voice.
        logging.getLogger("discord.gateway").setLevel(logging.WARNING)
        logging.getLogger("discord.client").setLevel(logging.ERROR)

    async def listen(self) -> None:
        """Connect and listen; again after every failure that is not final.

        Raises:
            AdapterUnauthorized: the gateway refuses the bot itself.
        """
        backoff = Backoff(self._config.max_backoff_s)
        async with self._client() as client:
            while True:
                was = asyncio.get_running_loop().time()
                reason = await self._connection(client)
                if asyncio.get_running_loop().time() - was > 2 * self._config.max_backoff_s:
                    backoff.reset()
                self._report(Health("degraded", reason))
                await asyncio.sleep(backoff.next_s())

    def _client(self) -> discord.Client:
        intents = discord.Intents(
            guilds=True,
            guild_messages=True,
            guild_reactions=True,
            dm_messages=True,
            dm_reactions=True,
            message_content=self._config.message_content,
        )
        client = discord.Client(
            intents=intents, max_messages=None, heartbeat_timeout=self._config.heartbeat_timeout_s
        )
        client.http = client._connection.http = self._rest
        client._connection.parsers = {name: partial(self._dispatch, name) for name in DISPATCHES}
        return client

    async def _connection(self, client: discord.Client) -> str:
        """One connection from beginning to end; why it ended."""
        session, self._is_ready, self._socket = self.session, False, None
        try:
            async with asyncio.timeout(self._config.timeout_s):
                self._socket = client.ws = await _Socket.from_client(
                    client,
                    initial=True,  # spares the library's pause of 5 s, ours is made already
                    gateway=self._address(session),
                    session=session.id if session else None,
                    sequence=session.sequence if session else None,
                    resume=session is not None,
                )
                while not self._is_ready:
                    await self._socket.poll_event()
            while True:
                await self._socket.poll_event()
        except ReconnectWebSocket as error:
            # Refused or cut off while resuming: a new session is always right, it fetches what was missed.
            is_lost = not error.resume or (session is not None and not self._is_ready)
            self.session = None if is_lost else self._resumable()
            return "discord: the connection to the gateway has ended"
        except ConnectionClosed as error:
            if sentence := _FINAL.get(error.code):
                raise AdapterUnauthorized(sentence) from None
            self.session = None
            return f"discord: the gateway closed with {error.code}"
        except TimeoutError:
            self.session = self._resumable() or session
            return "discord: the gateway does not answer in time"
        except (aiohttp.ClientError, OSError) as error:
            self.session = self._resumable() or session
            return f"discord: the gateway cannot be reached ({type(error).__name__})"
        finally:
            if self._socket is not None:
                await self._socket.close(code=4000)
            await self._rest.hang_up()  # the same once more, or one that never said hello

    def _address(self, session: Session | None) -> yarl.URL:
        """Where a session goes on is the gateway's to say, unless the address was set on purpose."""
        is_default = self._config.gateway_url == DiscordConfig.model_fields["gateway_url"].default
        return yarl.URL(session.url if session and is_default else self._config.gateway_url)

    def _resumable(self) -> Session | None:
        socket = self._socket
        if socket is None or not isinstance(socket.session_id, str) or not isinstance(socket.sequence, int):
            return None
        return Session(id=socket.session_id, sequence=socket.sequence, url=str(socket.gateway))

    def _dispatch(self, name: str, payload: Any) -> None:
        if name in ("READY", "RESUMED"):
            self._is_ready = True
            self.session = self._resumable()
            self._report(Health("connected"))
        self._hear(name, payload, self._resumable())


class _Socket(DiscordWebSocket):
    """The library's socket, which outlives payloads that it cannot read."""

    async def received_message(self, msg: Any, /) -> None:
        """Skip what cannot be read, except where the stream itself is broken."""
        try:
            await super().received_message(msg)
        except zlib.error:
            raise ReconnectWebSocket(self.shard_id) from None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("a payload of the gateway could not be read: %s", type(error).__name__)

    async def poll_event(self) -> None:
        """One event; the first must be a hello."""
        await super().poll_event()
        if self._keep_alive is None:
            raise ReconnectWebSocket(self.shard_id)

    def log_receive(self, data: Any, /) -> None:
        """Called with each text: before the thread of heartbeats starts, its interval must make sense."""
        if self._keep_alive is not None:
            return
        interval = json.loads(data)["d"]["heartbeat_interval"]
        if not 10 <= interval <= 3_600_000:
            raise ValueError("heartbeat_interval")
