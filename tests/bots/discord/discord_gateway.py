"""The gateway's side of the socket: hello, identify, heartbeats, resuming, and all that can go wrong."""

import asyncio
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from discord_world import APPLICATION, BOT, GUILD, TOKEN, Json, World


@dataclass
class Session:
    """What can be resumed: everything dispatched, and whether somebody listens."""

    id: str
    sent: list[str] = field(default_factory=list)
    line: "Line | None" = None
    is_valid: bool = True


class Line:
    """One socket, compressed if the client asks for it."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket, self.transport = socket, request.transport
        self._zlib = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None
        self.heartbeats = 0
        self.is_silent = False

    async def send(self, text: str) -> None:
        if self._zlib is None:
            await self.socket.send_str(text)
        else:
            packed = self._zlib.compress(text.encode("utf-8", "surrogatepass"))
            await self.socket.send_bytes(packed + self._zlib.flush(zlib.Z_SYNC_FLUSH))

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class GatewayServer:
    """All sessions of one bot; what is dispatched while nobody listens is kept for who resumes."""

    def __init__(self, world: World) -> None:
        self.world, self.url = world, ""
        self.sessions: list[Session] = []
        self.lines: list[Line] = []
        self.num_identified = self.num_resumed = 0
        self.heartbeat_ms = 41250
        self.hello = ""  # instead of the right one
        self.num_missed = 0  # connections closed since no heartbeat came
        self.close_code: int | None = None  # close whoever identifies or resumes with this
        self.intents: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        line = Line(socket, request)
        self.lines.append(line)
        try:
            hello = json.dumps({"op": 10, "d": {"heartbeat_interval": self.heartbeat_ms}})
            await line.send(self.hello or hello)
            await self._listen(line)
        except ConnectionError:
            pass
        finally:
            self.lines.remove(line)
            for session in self.sessions:
                if session.line is line:
                    session.line = None
        return socket

    async def _listen(self, line: Line) -> None:
        while True:
            try:
                message = await line.socket.receive(timeout=self.heartbeat_ms / 1000 * 2 + 0.5)
            except TimeoutError:
                self.num_missed += 1
                await line.socket.close(code=4000)
                return
            if message.type is not WSMsgType.TEXT:
                return
            payload = json.loads(message.data)
            if payload["op"] == 1:
                line.heartbeats += 1
                if not line.is_silent:
                    await line.send(json.dumps({"op": 11}))
            elif payload["op"] in (2, 6):
                if not await self._begin(line, payload["op"], payload["d"]):
                    return

    async def _begin(self, line: Line, op: int, given: Json) -> bool:
        code = 4004 if given.get("token") != TOKEN else self.close_code
        if code:
            await line.socket.close(code=code)
            return False
        if op == 2:
            self.num_identified += 1
            self.intents.append(given["intents"])
            session = Session(f"session-{len(self.sessions)}", line=line)
            self.sessions.append(session)
            ready = {"v": 10, "user": BOT, "guilds": [{"id": GUILD, "unavailable": True}]}
            ready |= {"session_id": session.id, "application": {"id": APPLICATION}}
            await self._send(session, "READY", ready | {"resume_gateway_url": self.url})
            await self._send(session, "GUILD_CREATE", self.world.guild())
            return True
        session = next((one for one in self.sessions if one.id == given["session_id"]), None)
        if session is None or not session.is_valid:
            await line.send(json.dumps({"op": 9, "d": False}))
            return True
        self.num_resumed += 1
        for text in session.sent[given["seq"] or 0 :]:
            await line.send(text)
        session.line = line
        await self._send(session, "RESUMED", {})
        return True

    async def _send(self, session: Session, name: str, data: Any) -> None:
        text = json.dumps({"op": 0, "t": name, "s": len(session.sent) + 1, "d": data})
        session.sent.append(text)
        if session.line is not None:
            try:
                await session.line.send(text)
            except ConnectionError:
                session.line = None

    async def dispatch(self, name: str, data: Any) -> None:
        """Tell the newest session, or keep it for its return."""
        for session in self.sessions[-1:]:
            if session.is_valid:
                await self._send(session, name, data)

    async def send_raw(self, text: str) -> None:
        """Any text to whoever listens."""
        for line in list(self.lines):
            await line.send(text)

    async def ask_to_reconnect(self) -> None:
        await self.send_raw('{"op": 7, "d": null}')

    async def invalidate(self, is_resumable: bool = False) -> None:
        for session in self.sessions:
            session.is_valid = is_resumable
        await self.send_raw(json.dumps({"op": 9, "d": is_resumable}))

    def abort(self) -> None:
        """Break all connections at once."""
        for line in self.lines:
            line.abort()

    def close_all(self, code: int) -> None:
        """Close all connections, soon."""
        for line in self.lines:
            task = asyncio.ensure_future(line.socket.close(code=code))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
