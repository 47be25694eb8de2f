"""A Bot API server on loopback: what the real one promises, and what it does on bad days."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from bots.testing import CANARY, Fault

BOT = {
    "id": 110201543,
    "is_bot": True,
    "first_name": "Banter",
    "username": "banter_test_bot",
    "can_join_groups": True,
    "can_read_all_group_messages": False,
}
SENDS = {"sendMessage", "sendAnimation", "sendPhoto", "sendDocument"}
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
Params = dict[str, Any]


class Refused(Exception):
    """An answer with ok = false."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status, self.description, self.parameters = status, description, parameters


@dataclass
class Call:
    """One request of the bot."""

    method: str
    params: Params


@dataclass
class BotApiServer:
    """Speaks as Telegram does to the one bot whose token it knows.

    Attributes: calls, all with the right token; sent, messages by id; fault, what every request meets.
    """

    token: str = CANARY
    me: Params = field(default_factory=lambda: dict(BOT))
    port: int = 0
    calls: list[Call] = field(default_factory=list)
    sent: dict[int, Params] = field(default_factory=dict)
    commands: list[Params] = field(default_factory=list)
    webhook: Params = field(default_factory=lambda: {"url": ""})
    fault: Fault | None = None
    unknown_status: int = 401  # for a token that is not ours
    send_s: float = 0.0  # how long each message takes to be sent
    refusals: dict[str, Refused] = field(default_factory=dict)  # by chat id, what sends to it meet
    num_confirmed: int = 0
    next_update: int = 1000
    pending: dict[int, Any] = field(default_factory=dict)  # update_id: update, until it is confirmed
    _next_message: int = 1
    _polls: int = 0
    _server: asyncio.Server | None = None
    _protocols: web.Server | None = None
    _delivering: "asyncio.Task[None] | None" = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """What base_url is set to."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; on the same port as before when it was stopped."""
        self._protocols = web.Server(self._handle, access_log=None)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocols, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._delivering = asyncio.ensure_future(self._deliver())

    async def stop(self) -> None:
        """Refuse connections and cut those there are; what waits is kept."""
        if self._server is None or self._protocols is None or self._delivering is None:
            return
        self._server.close()
        self._delivering.cancel()
        for connection in self._protocols.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._protocols.shutdown(0.1)
        self._server = None

    def update(self, **payload: Any) -> int:
        """Something happened; its update_id."""
        number = self.next_update
        self.next_update += 1
        return self.raw_update({"update_id": number, **payload}, number)

    def raw_update(self, update: Any, number: int) -> int:
        """An update of any shape at a place in the queue."""
        self.pending[number] = update
        self.next_update = max(self.next_update, number + 1)
        self.wake()
        return number

    def wake(self) -> None:
        """Let waiting polls and deliveries look again."""
        self._news.set()
        self._news = asyncio.Event()

    def message_id(self) -> int:
        """The next number of a message."""
        self._next_message += 1
        return self._next_message - 1

    def called(self, method: str) -> list[Params]:
        """Parameters of all calls of a method."""
        return [call.params for call in self.calls if call.method == method]

    async def wait_for(self, is_so: Callable[["BotApiServer"], bool], timeout_s: float = 10.0) -> None:
        """Return as soon as it holds; TimeoutError if it does not in time."""
        async with asyncio.timeout(timeout_s):
            while not is_so(self):
                news = self._news
                await asyncio.wait([asyncio.ensure_future(news.wait())], timeout=0.05)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        token, _, method = request.path.removeprefix("/bot").partition("/")
        if self.fault == "silent":
            await self.wait_for(lambda server: server.fault != "silent", 60)
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if self.fault == "garbled":
            return web.Response(text=f"<html>{request.path}</html>")
        try:
            self._raise_fault(method)
            if token != self.token:
                is_wrong = ":" in token and self.unknown_status == 401
                raise Refused(401, "Unauthorized") if is_wrong else Refused(404, "Not Found")
            params = {key: _value(given) for key, given in (await request.post()).items()}
            self.calls.append(Call(method, params))
            self.wake()
            return _answer(200, ok=True, result=await self._result(method, params))
        except ConnectionResetError:  # the bot went away before it had said all
            return web.Response()
        except Refused as refused:
            parameters = {"parameters": refused.parameters} if refused.parameters else {}
            return _answer(
                refused.status,
                ok=False,
                error_code=refused.status,
                description=refused.description,
                **parameters,
            )

    def _raise_fault(self, method: str) -> None:
        if self.fault == "unauthorized":
            raise Refused(401, "Unauthorized")
        if self.fault == "conflict":
            raise Refused(409, "Conflict: terminated by other getUpdates request")
        if self.fault == "rate_limited":
            raise Refused(429, "Too Many Requests: retry after 1", retry_after=1)
        if self.fault == "gone" and method in SENDS:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        if self.fault == "server_error":
            raise Refused(500, "Internal Server Error")

    async def _result(self, method: str, params: Params) -> Any:
        if method == "getUpdates":
            return await self._get_updates(params)
        if method in SENDS:
            await asyncio.sleep(self.send_s)
            return self._send(params)
        if method == "editMessageText":
            return self._edit(params)
        if method == "deleteMessage":
            if self.sent.pop(params["message_id"], None) is None:
                raise Refused(400, "Bad Request: message to delete not found")
        if method == "setMyCommands":
            self.commands = params["commands"]
        if method == "setWebhook":
            self.webhook = {"url": params["url"], "secret_token": params.get("secret_token", "")}
        if method == "deleteWebhook":
            self.webhook = {"url": ""}
        info = {"has_custom_certificate": False, "pending_update_count": len(self.pending)}
        self.wake()
        known = {
            "getMe": self.me,
            "getMyCommands": self.commands,
            "getWebhookInfo": {
                **info,
                **{key: self.webhook[key] for key in self.webhook if key != "secret_token"},
            },
        }
        return known.get(method, True)

    async def _get_updates(self, params: Params) -> list[Any]:
        if self.webhook["url"]:
            raise Refused(
                409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook first"
            )
        self._polls += 1
        mine = self._polls
        self._confirm_below(params.get("offset", 0))
        deadline = asyncio.get_running_loop().time() + params.get("timeout", 0)
        self.wake()
        while not self.pending and asyncio.get_running_loop().time() < deadline:
            news, left = self._news, deadline - asyncio.get_running_loop().time()
            await asyncio.wait([asyncio.ensure_future(news.wait())], timeout=left)
            if mine != self._polls:
                raise Refused(409, "Conflict: terminated by other getUpdates request; only one may run")
            self._raise_fault("getUpdates")
        return [self.pending[number] for number in sorted(self.pending)][: params.get("limit", 100)]

    def _confirm_below(self, offset: int) -> None:
        for number in [number for number in self.pending if number < offset]:
            del self.pending[number]
            self.num_confirmed += 1

    def _send(self, params: Params) -> Params:
        self._raise_refusal(params)
        text = params.get("text", params.get("caption", ""))
        media = {"animation", "photo", "document"} & params.keys()
        if not text.strip() and not media:
            raise Refused(400, "Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) // 2 > (1024 if media else 4096):
            raise Refused(400, "Bad Request: message is too long")
        number = self.message_id()
        chat = {"id": int(params["chat_id"]), "type": "private"}
        self.sent[number] = {**params, "text": text}
        return {"message_id": number, "date": 1_700_000_000, "chat": chat, "from": self.me, "text": text}

    def _edit(self, params: Params) -> Params:
        self._raise_refusal(params)
        known = self.sent.get(params["message_id"])
        if known is None:
            raise Refused(400, "Bad Request: message to edit not found")
        if known["text"] == params["text"]:
            raise Refused(400, "Bad Request: message is not modified: new content is the same")
        known["text"] = params["text"]
        chat = {"id": int(params["chat_id"]), "type": "private"}
        return {
            "message_id": params["message_id"],
            "date": 1_700_000_000,
            "chat": chat,
            "text": params["text"],
        }

    def _raise_refusal(self, params: Params) -> None:
        if refusal := self.refusals.get(str(params["chat_id"])):
            raise refusal

    async def _deliver(self) -> None:
        """Call the webhook, oldest update first, the same one until it is answered with success."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while True:
                news = self._news
                if not (self.webhook["url"] and self.pending) or self.fault not in (None, "gone"):
                    await asyncio.wait([asyncio.ensure_future(news.wait())], timeout=0.05)
                    continue
                number = min(self.pending)
                headers = {SECRET_HEADER: self.webhook["secret_token"]}
                try:
                    answer = await session.post(
                        self.webhook["url"], json=self.pending[number], headers=headers
                    )
                except (aiohttp.ClientError, TimeoutError) as error:
                    self.webhook["last_error_message"] = str(error)
                    await asyncio.sleep(0.05)
                    continue
                async with answer:
                    if answer.ok:
                        self._confirm_below(number + 1)
                        self.wake()
                    else:
                        self.webhook["last_error_message"] = f"Wrong response: {answer.status}"
                        await asyncio.sleep(0.05)


def _value(given: Any) -> Any:
    """A form field as JSON would have it; a file as its text."""
    if isinstance(given, web.FileField):
        return given.file.read().decode()
    try:
        return json.loads(given) if given[:1] in "[{-0123456789tf" else given
    except json.JSONDecodeError:
        return given


def _answer(status: int, **body: Any) -> web.Response:
    return web.json_response(body, status=status)
