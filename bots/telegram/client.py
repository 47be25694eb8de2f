"""Telegram's Bot API through python-telegram-bot, its failures as ours and no secret in any of its words."""

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import telegram as ptb
from telegram.error import TelegramError
from telegram.request import HTTPXRequest

from bots.errors import AdapterError, AdapterOffline, AdapterUnauthorized, SendRefused
from bots.messages import ChatKey, Limits, MessageRef, Outgoing, Rate, Usage
from bots.telegram.config import TelegramConfig
from bots.telegram.convert import BUTTONS, is_photo, text_from_outgoing
from bots.telegram.failures import GARBLED, Unchanged, delivery_error, receiving_error
from bots.telegram.wire import ALLOWED_UPDATES

LIMITS = Limits(
    max_len=4096,
    unit="utf16",
    per_chat=Rate(1, 1.0),
    per_group=Rate(20, 60.0),
    overall=Rate(30, 1.0),
    typing_s=5.0,
)
MAX_CAPTION_LEN = 1024
MAX_FILE_BYTES = 50 * 10**6
_BATCH = 100
_NUM_STEPS = 4  # of a request: pool, connect, write, read
_TOKEN = re.compile(r"[\w:-]+", re.ASCII)  # anything else would make another address of it
_T = TypeVar("_T")
_Translate = Callable[[Exception, str, str], AdapterError]
_LOGGER = logging.getLogger(__name__)

os.environ.setdefault("PTB_TIMEDELTA", "true")  # else each retry_after comes with a warning on the terminal


class _Bot(ptb.Bot):
    """Hands updates over as they came: the library's own get_updates fails for all when one is mangled."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Without the token, which the library would show."""
        return "Bot"

    async def raw_updates(self, offset: int | None, wait_s: int, timeout_s: float) -> object:
        """What `getUpdates` answers."""
        asked = {"timeout": wait_s, "limit": _BATCH, "allowed_updates": ALLOWED_UPDATES, "offset": offset}
        return await self._post("getUpdates", asked, read_timeout=wait_s + timeout_s)


class Client:
    """One connection to Telegram; use it as an async context manager."""

    def __init__(self, config: TelegramConfig) -> None:
        """Connects nothing yet.

        Raises:
            AdapterUnauthorized: the token cannot be one.
        """
        token = config.token.get_secret_value()
        if not _TOKEN.fullmatch(token):
            raise AdapterUnauthorized(
                "telegram: what is set as the token cannot be one; ask @BotFather for it"
            )
        _silence()
        # In any case of letters: the library changes it in what Telegram says.
        self._secrets = re.compile(f"{re.escape(token)}|{re.escape(config.secret_token())}", re.IGNORECASE)
        self._timeout_s = config.request_timeout_s
        self._requests = tuple(_request(config.request_timeout_s) for _ in range(2))
        sending, polling = self._requests
        self._bot = _Bot(token, base_url=config.api_root(), request=sending, get_updates_request=polling)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for request in self._requests:
            await request.shutdown()

    async def me(self) -> ptb.User:
        """The bot itself."""
        return await self._received(self._bot.get_me())

    async def updates(self, offset: int | None, wait_s: int) -> list[Any]:
        """Unconfirmed updates, those below `offset` confirmed by this; waits so long for the first."""
        asking = self._bot.raw_updates(offset, wait_s, self._timeout_s)
        found = await self._received(asking, wait_s)
        if not isinstance(found, list):
            raise AdapterOffline("telegram: an answer that is none of the Bot API; check base_url")
        return found

    async def webhook(self) -> ptb.WebhookInfo:
        """The webhook that is set, whoever set it."""
        return await self._received(self._bot.get_webhook_info())

    async def set_webhook(self, url: str, secret: str) -> None:
        """Let Telegram call this address; nothing that waits is dropped."""
        await self._received(self._bot.set_webhook(url, allowed_updates=ALLOWED_UPDATES, secret_token=secret))

    async def delete_webhook(self) -> None:
        """Take it away; what waits can be polled then."""
        await self._received(self._bot.delete_webhook())

    async def publish(self, usages: Sequence[Usage]) -> None:
        """Offer these commands in Telegram's menu, unless it knows just them."""
        wanted = tuple(ptb.BotCommand(usage.name, (usage.summary or usage.name)[:256]) for usage in usages)
        if await self._received(self._bot.get_my_commands()) != wanted:
            await self._received(self._bot.set_my_commands(wanted))

    async def answer_press(self, press_id: str) -> None:
        """End the sign of waiting on a pressed button."""
        await self._received(self._bot.answer_callback_query(press_id))

    async def send(self, message: Outgoing) -> MessageRef:
        """Send one message; the text becomes a caption where there is a file or a picture."""
        return MessageRef(message.chat, await self._sent(self._send(message)))

    async def edit(self, ref: MessageRef, text: str) -> None:
        """Replace a text; nothing happens when it says this already."""
        shown = text_from_outgoing(Outgoing(text, chat=ref.chat), LIMITS)
        await self._made_so(
            self._bot.edit_message_text(
                shown, ref.chat.chat, _number(ref.id), link_preview_options=_NO_PREVIEW
            )
        )

    async def delete(self, ref: MessageRef) -> None:
        """Take a message away; nothing happens when it is gone."""
        await self._made_so(self._bot.delete_message(ref.chat.chat, _number(ref.id)))

    async def react(self, ref: MessageRef, emoji: str) -> None:
        """Put an emoji on a message, or take ours away."""
        bare = emoji.replace("\ufe0f", "")  # Telegram knows its heart without this variation selector only
        await self._sent(
            self._bot.set_message_reaction(ref.chat.chat, _number(ref.id), [bare] if bare else [])
        )

    async def typing(self, chat: ChatKey) -> None:
        """Show it for five seconds."""
        await self._sent(
            self._bot.send_chat_action(chat.chat, "typing", message_thread_id=_optional(chat.thread))
        )

    async def _send(self, message: Outgoing) -> str:
        text = text_from_outgoing(message, LIMITS)
        about: dict[str, Any] = {"message_thread_id": _optional(message.chat.thread)}
        if replied := _optional(message.reply_to):
            about["reply_parameters"] = ptb.ReplyParameters(replied, allow_sending_without_reply=True)
        if message.asks_feedback:
            buttons = [ptb.InlineKeyboardButton(label, callback_data=data) for label, data in BUTTONS]
            about["reply_markup"] = ptb.InlineKeyboardMarkup([buttons])
        chat, caption = message.chat.chat, text or None
        if message.document is not None:
            content = ptb.InputFile(
                message.document.content.encode("utf-8", "replace"), filename=message.document.name
            )
            sent = await self._bot.send_document(chat, content, caption, **about)
        elif message.media_url and is_photo(message.media_url):
            sent = await self._bot.send_photo(chat, message.media_url, caption, **about)
        elif message.media_url:
            sent = await self._bot.send_animation(chat, message.media_url, caption=caption, **about)
        else:
            sent = await self._bot.send_message(chat, text, link_preview_options=_NO_PREVIEW, **about)
        return str(sent.message_id)

    async def _made_so(self, work: Awaitable[object]) -> None:
        try:
            await self._sent(work)
        except Unchanged:
            return

    async def _received(self, work: Awaitable[_T], wait_s: int = 0) -> _T:
        return await self._translated(work, receiving_error, wait_s)

    async def _sent(self, work: Awaitable[_T]) -> _T:
        return await self._translated(work, delivery_error)

    async def _translated(self, work: Awaitable[_T], translate: _Translate, wait_s: int = 0) -> _T:
        try:
            # The library limits each step; this limits an answer that trickles in.
            async with asyncio.timeout(wait_s + _NUM_STEPS * self._timeout_s):
                return await work
        except (TelegramError, TimeoutError, *GARBLED) as error:
            said, method = self._scrubbed(str(error)), getattr(work, "__name__", "request").strip("_")
            _LOGGER.debug("telegram: %s failed: %s", method, said)
            failure = translate(error, said, method)
        raise failure  # out here no part of it leads back to the foreign error and what its frames hold

    def _scrubbed(self, text: str) -> str:
        return self._secrets.sub("...", text)


_NO_PREVIEW = ptb.LinkPreviewOptions(is_disabled=True)


def _request(timeout_s: float) -> HTTPXRequest:
    return HTTPXRequest(
        read_timeout=timeout_s, write_timeout=timeout_s, connect_timeout=timeout_s, pool_timeout=timeout_s
    )


def _number(message_id: str) -> int:
    number = _optional(message_id)
    if number is None:
        raise SendRefused("telegram: this is no message of Telegram")
    return number


def _optional(number: str) -> int | None:
    return int(number) if number.isascii() and number.isdecimal() else None


def _silence() -> None:
    """Take what shows addresses, secrets or raw answers out of the libraries' logs."""
    loud = {
        "httpx": logging.WARNING,  # addresses, so the token, at INFO
        "httpcore": logging.WARNING,
        "telegram": logging.INFO,  # all parameters at DEBUG, the webhook's secret among them
        "telegram.request": logging.CRITICAL + 1,  # whole answers, so what people write, at ERROR
    }
    for name, level in loud.items():
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, level))
