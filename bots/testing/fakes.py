"""A platform in memory and the adapter that speaks it: the shortest adapter there is that passes the kit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel, SecretStr

from bots.errors import (
    AdapterConflict,
    AdapterError,
    AdapterOffline,
    AdapterUnauthorized,
    Busy,
    ChatGone,
    MessageTooLong,
    RetryAfter,
    SendFailed,
)
from bots.messages import (
    API_VERSION,
    AdapterConfig,
    Caps,
    ChatKey,
    Command,
    Health,
    Incoming,
    Limits,
    MessageRef,
    Origin,
    Outgoing,
    Request,
    Sink,
    User,
    storable,
)
from bots.testing.script import Fault


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a person on the fake platform."""

    id: int
    text: str
    chat: str
    user: str


class FakePlatform:
    """Keeps what people say until it is acknowledged, and what the bot sends for ever.

    Attributes: sent, every Outgoing that arrived, in order.
    """

    keeps_unheard = True

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.fault: Fault | None = None
        self._said: list[Said] = []
        self._num_acknowledged = 0
        self._nonces: dict[str, str] = {}
        self._news = asyncio.Event()

    @property
    def chat(self) -> ChatKey:
        """The chat of the first person."""
        return ChatKey("fake", "bot", "1")

    async def say(self, text: str, chat: str = "1", user: str = "ann") -> None:
        """Somebody writes."""
        self._said.append(Said(len(self._said) + 1, text, chat, user))
        self._news.set()

    def texts(self) -> Sequence[str]:
        """Texts of `sent`."""
        return [message.text for message in self.sent]

    def num_acknowledged(self) -> int | None:
        """Messages that will not be told again."""
        return self._num_acknowledged

    def set_fault(self, fault: Fault | None) -> bool:
        """From now on every request fails so."""
        self.fault = fault
        self._news.set()
        return True

    async def connect(self) -> None:
        """Log in."""
        self._raise_fault(is_send=False)

    async def fetch(self, acknowledged: int) -> Sequence[Said]:
        """Wait for messages after number `acknowledged`, which ends the keeping of those before."""
        self._raise_fault(is_send=False)
        self._num_acknowledged = max(self._num_acknowledged, acknowledged)
        while len(self._said) == self._num_acknowledged:
            self._news.clear()
            await self._news.wait()
            self._raise_fault(is_send=False)
        return tuple(self._said[self._num_acknowledged :])

    async def post(self, message: Outgoing) -> str:
        """Take a message of the bot; its id."""
        self._raise_fault(is_send=True)
        if message.nonce and message.nonce in self._nonces:
            return self._nonces[message.nonce]
        self.sent.append(message)
        message_id = f"b{len(self.sent)}"
        if message.nonce:
            self._nonces[message.nonce] = message_id
        return message_id

    def _raise_fault(self, is_send: bool) -> None:
        if self.fault == "unauthorized":
            raise AdapterUnauthorized("fake: the token is refused")
        if is_send and self.fault is not None:
            raise _SEND_ERRORS.get(self.fault, SendFailed(f"fake: {self.fault}"))
        if self.fault == "conflict":
            raise AdapterConflict("fake: somebody else receives")
        if self.fault not in (None, "gone"):
            raise AdapterOffline(f"fake: {self.fault}")


_SEND_ERRORS: dict[Fault, AdapterError] = {
    "rate_limited": RetryAfter(0.1),
    "gone": ChatGone("fake: the chat blocked the bot"),
    "silent": SendFailed("fake: no answer", is_sent_maybe=True),
}


class FakeConfig(AdapterConfig):
    """The section [fake]."""

    token: SecretStr


class FakeAdapter:
    """Speaks to a FakePlatform; nothing it is asked to send needs a network."""

    name: ClassVar[str] = "fake"
    api_version: ClassVar[int] = API_VERSION
    Config: ClassVar[type[BaseModel]] = FakeConfig
    caps = Caps(typing=True, nonce=True, media=True, documents=True, buttons=True)
    limits = Limits(max_len=200, unit="utf16")

    def __init__(self, config: FakeConfig, platform: FakePlatform) -> None:
        """Speak to `platform`."""
        self._config, self._platform = config, platform
        self.typed: list[ChatKey] = []

    async def run(self, sink: Sink) -> None:
        """Fetch, offer, acknowledge with the next fetch."""
        acknowledged = 0
        while True:
            try:
                await self._platform.connect()
                sink.report(Health("connected"))
                while True:
                    said = await self._platform.fetch(acknowledged)
                    await sink.accept(*(event_from_said(one) for one in said))
                    acknowledged = said[-1].id
            except Busy as busy:
                await asyncio.sleep(busy.retry_after_s)
            except (AdapterOffline, AdapterConflict) as error:
                sink.report(Health("degraded", str(error)))
                await asyncio.sleep(0.02)

    async def send(self, message: Outgoing) -> MessageRef:
        """Hand one message to the platform."""
        if self.limits.length(message.text) > self.limits.max_len:
            raise MessageTooLong(self.limits.length(message.text), self.limits.max_len)
        return MessageRef(message.chat, await self._platform.post(message))

    async def typing(self, chat: ChatKey) -> None:
        """Remember that it was shown."""
        self.typed.append(chat)


def event_from_said(said: Said) -> Request:
    """Pure, as every conversion: the same message gives the same key."""
    origin = Origin(
        key=f"m:{said.chat}:{said.id}",
        chat=ChatKey("fake", "bot", said.chat),
        when=datetime.fromtimestamp(said.id, UTC),
        user=User(said.user, said.user),
        is_private=True,
        message_id=str(said.id),
    )
    text = storable(said.text)
    if text.startswith("/"):
        name, _, argument = text[1:].partition(" ")
        return Command(name, argument, origin)
    return Incoming(text, origin)
