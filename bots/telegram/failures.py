"""What the client library raises, as our errors; pure. None keeps the foreign one, which holds the token."""

import re
from datetime import timedelta

import httpx
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    TelegramError,
    TimedOut,
)
from telegram.error import RetryAfter as FloodControl

from bots.errors import (
    AdapterConflict,
    AdapterError,
    AdapterOffline,
    AdapterUnauthorized,
    ChatGone,
    RetryAfter,
    SendFailed,
    SendRefused,
)

# Raised by the library itself over an answer of another shape than it expects.
GARBLED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_GONE = re.compile(
    r"chat not found|(message )?thread not found|topic.deleted|peer_id_invalid|chat_id is empty", re.I
)
_MAX_WORDS = 200
TOKEN_REFUSED = "telegram: the token is refused; take it from @BotFather and check base_url"


class ChatMoved(SendFailed):
    """The group is a supergroup now; nothing was sent.

    Attributes: to, its new id.
    """

    def __init__(self, to: int) -> None:
        super().__init__("telegram: the group became a supergroup")
        self.to = str(to)


class Unchanged(SendRefused):
    """An edit or a deletion of what is so already."""


class TokenUnknown(AdapterOffline):
    """404 for a method that there is: a refused token, or a server on a bad day."""


class WebhookSet(AdapterConflict):
    """Long polling is refused for as long as a webhook is set."""


def receiving_error(error: Exception, said: str, method: str = "") -> AdapterError:
    """Why we cannot receive.

    Args:
        error: what the library raised.
        said: its text without secrets; it may quote what somebody wrote.
        method: what was called.
    """
    if refused := _refused(error, said):
        return refused
    if isinstance(error, FloodControl):
        return RetryAfter(_seconds(error))
    if isinstance(error, Conflict) and not _is_unreadable(error):
        if "webhook" in said.lower():
            return WebhookSet(
                "telegram: a webhook is set, so another program receives; take_over = true deletes it"
            )
        return AdapterConflict("telegram: another process receives with the same token; stop one of them")
    return AdapterOffline(_offline(error, said))


def delivery_error(error: Exception, said: str, method: str = "request") -> AdapterError:
    """Why one message cannot be sent; arguments as above."""
    if refused := _refused(error, said):
        return SendFailed(str(refused)) if isinstance(refused, TokenUnknown) else refused
    if isinstance(error, FloodControl):
        return RetryAfter(_seconds(error))
    if isinstance(error, ChatMigrated):
        return ChatMoved(error.new_chat_id)
    if not _is_unreadable(error):
        if isinstance(error, Forbidden):
            return ChatGone(f"telegram: {method} refused with 403, the chat is closed to the bot")
        if isinstance(error, BadRequest):
            return _bad_request(said, method)
    return SendFailed(_offline(error, said), is_sent_maybe=_is_sent_maybe(error))


def _bad_request(said: str, method: str) -> AdapterError:
    """By its description, which goes no further: it may quote the message."""
    words = said.lower()
    if _GONE.match(words):
        return ChatGone(f"telegram: {method} refused with 400, there is no such chat or topic")
    if "not modified" in words or "to delete not found" in words:
        return Unchanged(f"telegram: {method} changes nothing")
    return SendRefused(f"telegram: {method} refused with 400; the description is logged at debug")


def _refused(error: Exception, said: str) -> AdapterUnauthorized | TokenUnknown | None:
    if not isinstance(error, InvalidToken) or _is_unreadable(error):
        return None
    if "not found" in said.lower():  # the library makes 401 and 404 one
        return TokenUnknown("telegram: 404, the token may be refused; check it and base_url")
    return AdapterUnauthorized(TOKEN_REFUSED)


def _offline(error: Exception, said: str) -> str:
    if isinstance(error, TimedOut | TimeoutError):
        return "telegram: no answer in time"
    if isinstance(error, NetworkError) and isinstance(error.__cause__, httpx.HTTPError):
        return f"telegram: cannot be reached ({type(error.__cause__).__name__})"
    if isinstance(error, NetworkError):
        return f"telegram: {said.partition('. Parsing')[0][:_MAX_WORDS]}"  # the raw answer would follow
    return "telegram: an answer that is none of the Bot API; check base_url"


def _is_unreadable(error: Exception) -> bool:
    """Whether the answer was no JSON, as of a proxy: then its status is not Telegram's word."""
    return isinstance(error.__cause__, TelegramError) or not isinstance(error, TelegramError)


def _is_sent_maybe(error: Exception) -> bool:
    """Whether the request may have been carried out though its answer was lost."""
    if isinstance(error.__cause__, httpx.HTTPError):
        return not isinstance(error.__cause__, _NOT_SENT)
    return type(error) is TelegramError or not isinstance(error, TelegramError)  # 200, but unreadable


def _seconds(error: FloodControl) -> float:
    pause = error.retry_after
    return max(0.0, pause.total_seconds() if isinstance(pause, timedelta) else float(pause))
