"""discord.py's HTTP client with another way of asking: one try, our errors, an address of its own."""

import asyncio
import json
import math
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import aiohttp
from discord import File
from discord.gateway import DiscordClientWebSocketResponse
from discord.http import HTTPClient, Route

from bots.discord.config import DiscordConfig
from bots.errors import (
    AdapterError,
    AdapterUnauthorized,
    ChatGone,
    RetryAfter,
    SendFailed,
    SendRefused,
)
from bots.messages import Document, storable

UNKNOWN_CHANNEL, UNKNOWN_MESSAGE = 10003, 10008
_GONE = {UNKNOWN_CHANNEL, 50001, 50007, 50013}  # unknown, no access, takes no messages, not allowed
_TOO_LARGE = {413, 40005}
_MAX_PAUSE_S = 3600.0
_CLOSE_S = 2.0  # how long a closing gateway may take to say so


class MessageGone(SendRefused):
    """The message that something was to be done to is no more."""


class Rest(HTTPClient):
    """Requests to Discord, each tried once.

    The library's own `request` sleeps and repeats inside, up to 25 s, where the core wants to know at once;
    takes a 429 that no proxy has passed for a ban; and keeps its address in a variable of the class.
    """

    def __init__(self, config: DiscordConfig) -> None:
        """Nothing is connected before `async with`."""
        super().__init__(asyncio.get_running_loop())
        self.token = config.token.get_secret_value()
        self._base = config.api_base.rstrip("/")
        self._websocket: aiohttp.ClientWebSocketResponse | None = None
        self._timeout = aiohttp.ClientTimeout(total=config.timeout_s)

    async def __aenter__(self) -> "Rest":
        self._session = aiohttp.ClientSession(
            ws_response_class=DiscordClientWebSocketResponse, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    async def ws_connect(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        """The gateway's socket, as the library opens it."""
        self._websocket = await self._session.ws_connect(
            url,
            max_msg_size=0,
            autoclose=False,
            timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
            headers={"User-Agent": self.user_agent},
            compress=compress,
        )
        return self._websocket

    async def hang_up(self) -> None:
        """Close the gateway's socket, if it is open."""
        if self._websocket is not None:
            await self._websocket.close(code=4000)

    async def request(
        self,
        route: Route,
        *,
        files: Sequence[File] | None = None,
        form: Iterable[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Any:
        """What Discord answers, decoded; None when it answers nothing.

        Raises:
            AdapterUnauthorized, ChatGone, RetryAfter, SendFailed, SendRefused (MessageGone).
        """
        is_bot = route.webhook_token is None  # else the interaction's token in the address speaks for us
        headers = {"User-Agent": self.user_agent} | ({"Authorization": f"Bot {self.token}"} if is_bot else {})
        data: Any = None
        if form is not None:
            data = aiohttp.FormData(quote_fields=False)  # Discord does not understand files%5B0%5D
            for part in form:
                data.add_field(**part)
        elif "json" in kwargs:
            data = json.dumps(kwargs["json"])
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                route.method,
                self._base + route.url.removeprefix(Route.BASE),
                headers=headers,
                data=data,
                params=kwargs.get("params"),
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                raw = await response.read()
        except TimeoutError:
            raise SendFailed("discord: no answer in time", is_sent_maybe=True) from None
        except aiohttp.ClientConnectorError as error:
            raise SendFailed(f"discord: cannot be reached: {error.strerror}") from None
        except (aiohttp.ClientError, OSError) as error:  # `from None`: an address may hold a token
            raise SendFailed(f"discord: {type(error).__name__}", is_sent_maybe=True) from None
        if 200 <= response.status < 300:
            return _decoded(raw) if raw.strip() else None
        raise error_from_answer(response.status, raw, response.headers.get("Retry-After", ""), is_bot)

    async def message(
        self,
        route: Route,
        body: dict[str, Any] | None = None,
        document: Document | None = None,
        params: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Ask for something that is answered with a message, which has at least an id."""
        given: dict[str, Any] = _with_document(body, document) if body else {}
        answer = await self.request(route, **given, params=params)
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
            raise SendFailed("discord: the answer is no message", is_sent_maybe=True)
        return answer


def original(method: str, **webhook: str) -> Route:
    """The message that stands for the answer to an interaction."""
    return Route(method, "/webhooks/{webhook_id}/{webhook_token}/messages/@original", **webhook)


def error_from_answer(status: int, raw: bytes, retry_after: str, is_bot: bool = True) -> AdapterError:
    """What an answer other than success means; its text quotes nothing that was sent."""
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        answer = None
    facts = answer if isinstance(answer, dict) else {}
    code = facts.get("code")
    what = f"discord: refused with {status}" + (f", code {code}" if isinstance(code, int) and code else "")
    if status == 401 and is_bot:
        return AdapterUnauthorized(
            "discord: the token is refused; reset it in the Developer Portal under Bot"
        )
    if status == 429:
        return RetryAfter(_pause(facts.get("retry_after"), retry_after), facts.get("global") is True)
    if code == UNKNOWN_MESSAGE:
        return MessageGone(what)
    if (status == 403 and facts) or code in _GONE:
        return ChatGone(what)
    if status in _TOO_LARGE or code in _TOO_LARGE:
        return SendRefused("discord: the file is too large")
    if status >= 500 or status < 400 or status == 403:  # a 403 without words comes from something in between
        return SendFailed(f"discord: failed with {status}")
    return SendRefused(what)


def _pause(*given: object) -> float:
    for one in given:
        try:
            seconds = float(str(one))
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return min(seconds, _MAX_PAUSE_S)
    return 1.0


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise SendFailed("discord: the answer cannot be read", is_sent_maybe=True) from None


def _with_document(body: dict[str, Any], document: Document | None) -> dict[str, Any]:
    """Arguments of a request: JSON alone, or a form of JSON and one file."""
    if document is None:
        return {"json": body}
    body = {**body, "attachments": [{"id": 0, "filename": document.name}]}
    file = {
        "name": "files[0]",
        "value": storable(document.content).encode(),
        "filename": document.name,
        "content_type": "text/plain; charset=utf-8",
    }
    return {"form": [{"name": "payload_json", "value": json.dumps(body)}, file]}
