"""One bot on Telegram: connects, receives by polling or webhook, sends."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel

from bots.errors import AdapterError, AdapterUnauthorized, Busy, MessageTooLong, SendFailed, SendRefused
from bots.messages import (
    API_VERSION,
    Caps,
    ChatKey,
    Finding,
    Limits,
    MessageRef,
    Outgoing,
    Sink,
    Usage,
)
from bots.telegram.addressing import Me
from bots.telegram.checkup import findings
from bots.telegram.client import LIMITS, MAX_CAPTION_LEN, MAX_FILE_BYTES, Client
from bots.telegram.config import TelegramConfig
from bots.telegram.convert import ADAPTER, moved
from bots.telegram.failures import TOKEN_REFUSED, ChatMoved, TokenUnknown
from bots.telegram.intake import Intake
from bots.telegram.polling import Polling
from bots.telegram.pulse import Pulse
from bots.telegram.webhook import Webhook

_MAX_UNKNOWN = 3  # answers 404 in a row at the start, each after a longer pause: then the token is refused
_LOGGER = logging.getLogger(__name__)


class TelegramAdapter:
    """Speaks the Bot API; an update counts as received only after the sink has committed it."""

    name: ClassVar[str] = ADAPTER
    api_version: ClassVar[int] = API_VERSION
    Config: ClassVar[type[BaseModel]] = TelegramConfig
    caps = Caps(
        edit=True,
        delete=True,
        react=True,
        typing=True,
        publish_commands=True,
        check=True,
        media=True,
        documents=True,
        buttons=True,
    )
    limits: Limits = LIMITS

    def __init__(self, config: TelegramConfig) -> None:
        """Connects nothing yet."""
        self._config = config
        self._usages: Sequence[Usage] = ()
        self._me = Me("")
        self._client: Client | None = None
        self._sink: Sink | None = None

    async def run(self, sink: Sink) -> None:
        """Connect and receive until cancelled.

        Raises:
            AdapterUnauthorized: the token is refused.
            AdapterOffline: the webhook's port cannot be listened on.
        """
        pulse = Pulse(sink, self._config.max_backoff_s)
        pulse.starts()
        async with Client(self._config) as client:
            self._me = await self._recognised(client, pulse)
            self._client, self._sink = client, sink
            try:
                await self._publish(client)
                await self._receiving(client, Intake(client, sink, lambda: self._me), pulse).run()
            finally:
                self._client = self._sink = None

    async def send(self, message: Outgoing) -> MessageRef:
        """Send one message; to the supergroup, and named so, when the group has become one."""
        _refuse(message)
        client = self._connected()
        try:
            return await client.send(message)
        except ChatMoved as error:
            to = error.to
        await self._tell_moved(message.chat, to)
        return await client.send(replace(message, chat=replace(message.chat, chat=to)))

    async def edit(self, ref: MessageRef, text: str) -> None:
        """Replace the text of one of the bot's messages."""
        if (length := self.limits.length(text)) > self.limits.max_len:
            raise MessageTooLong(length, self.limits.max_len)
        await self._connected().edit(ref, text)

    async def delete(self, ref: MessageRef) -> None:
        """Take one of the bot's messages away; Telegram lets that happen for two days."""
        await self._connected().delete(ref)

    async def react(self, ref: MessageRef, emoji: str) -> None:
        """Put an emoji on a message, one of those that Telegram offers; an empty one takes ours away."""
        await self._connected().react(ref, emoji)

    async def typing(self, chat: ChatKey) -> None:
        """Show for five seconds that the bot is typing."""
        await self._connected().typing(chat)

    async def publish_commands(self, usages: Sequence[Usage]) -> None:
        """Keep them for `run`; in groups a bare `/word` is ours only if it is among them."""
        self._usages = tuple(usages)

    async def check(self) -> Sequence[Finding]:
        """For the doctor: token, webhook, privacy in groups."""
        return await findings(self._config)

    async def _recognised(self, client: Client, pulse: Pulse) -> Me:
        """Who the token belongs to, however long Telegram cannot be reached."""
        num_unknown = 0
        while True:
            try:
                user = await client.me()
            except AdapterUnauthorized:
                raise
            except AdapterError as error:
                num_unknown = num_unknown + 1 if isinstance(error, TokenUnknown) else 0
                if num_unknown == _MAX_UNKNOWN:
                    raise AdapterUnauthorized(TOKEN_REFUSED) from None
                await asyncio.sleep(pulse.is_down(error))
            else:
                commands = frozenset(usage.name for usage in self._usages)
                names = self._config.names or (user.first_name,)
                return Me(str(user.id), user.username or "", names, commands)

    async def _publish(self, client: Client) -> None:
        if not self._usages:
            return
        try:
            await client.publish(self._usages)
        except AdapterUnauthorized:
            raise
        except AdapterError as error:  # the commands work without being in the menu
            _LOGGER.warning("the menu of commands could not be written: %s", error)

    def _receiving(self, client: Client, intake: Intake, pulse: Pulse) -> Polling | Webhook:
        if self._config.mode == "webhook":
            return Webhook(client, intake, pulse, self._config)
        return Polling(client, intake, pulse, self._config.poll_timeout_s, self._config.take_over)

    def _connected(self) -> Client:
        if self._client is None:
            raise SendFailed("telegram: not connected")
        return self._client

    async def _tell_moved(self, chat: ChatKey, to: str) -> None:
        if self._sink is not None:
            with suppress(Busy):  # both groups tell it as well
                await self._sink.accept(moved(chat.chat, to, self._me, datetime.now(UTC)))


def _refuse(message: Outgoing) -> None:
    """Raise for what Telegram would not take, or what must not reach the library."""
    limit = MAX_CAPTION_LEN if message.media_url or message.document else LIMITS.max_len
    if (length := LIMITS.length(message.text)) > limit:
        raise MessageTooLong(length, limit)
    if not (message.text.strip() or message.media_url or message.document):
        raise SendRefused("telegram: there is nothing to send")
    if message.media_url and not message.media_url.startswith("https://"):
        raise SendRefused("telegram: media_url is no https address")  # a path would upload that file
    if message.document and len(message.document.content.encode("utf-8", "replace")) > MAX_FILE_BYTES:
        raise SendRefused("telegram: the file is larger than 50 MB")
