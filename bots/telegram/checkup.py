"""What the doctor asks of Telegram: token, rights, and whether updates can reach us. It changes nothing."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import telegram as ptb

from bots.errors import AdapterError, AdapterUnauthorized
from bots.messages import Finding
from bots.telegram.client import Client
from bots.telegram.config import TelegramConfig

_PORTS = (443, 80, 88, 8443)  # the only ones that Telegram calls
_TOKEN_FIX = "In Telegram send /token to @BotFather and put what it says into BANTER_TELEGRAM__TOKEN."
_OFFICIAL = "api.telegram.org"


async def findings(config: TelegramConfig) -> list[Finding]:
    """All there is to say, what matters most first."""
    try:
        async with Client(config) as client:
            me = await client.me()
            webhook = await client.webhook()
    except AdapterUnauthorized as error:
        return [Finding("problem", str(error), _TOKEN_FIX)]
    except AdapterError as error:
        fix = "Check the network, a proxy (HTTPS_PROXY) and base_url; the bot keeps trying by itself."
        return [Finding("problem", str(error), fix)]
    about_webhook = _polling(webhook, config) if config.mode == "polling" else _webhook(webhook, config)
    return [Finding("ok", f"telegram: the token is @{me.username}'s"), *about_webhook, *_groups(me)]


def _polling(webhook: ptb.WebhookInfo, config: TelegramConfig) -> Iterator[Finding]:
    if webhook.url and not config.take_over:
        host = urlsplit(webhook.url).hostname
        fix = 'Stop the program there, then take_over = true in [telegram], or mode = "webhook".'
        yield Finding("problem", f"telegram: a webhook to {host} is set, so nothing can be polled", fix)
    if webhook.pending_update_count:
        yield Finding("ok", f"telegram: {webhook.pending_update_count} updates wait to be fetched")


def _webhook(webhook: ptb.WebhookInfo, config: TelegramConfig) -> Iterator[Finding]:
    url, is_official = urlsplit(config.webhook_url), urlsplit(config.base_url).hostname == _OFFICIAL
    if is_official and (url.scheme != "https" or (url.port or 443) not in _PORTS):
        fix = f"Telegram calls https on ports {', '.join(map(str, _PORTS))} only; change webhook_url."
        yield Finding("problem", "telegram: Telegram will not call webhook_url", fix)
    if webhook.url and webhook.url != config.webhook_url:
        fix = "Starting this bot takes it over; stop the other program."
        yield Finding("warning", f"telegram: a webhook to {urlsplit(webhook.url).hostname} is set", fix)
    elif webhook.last_error_message:
        fix = f"It must lead to {config.webhook_host}:{config.webhook_port}; look at what ends TLS before it."
        yield Finding("warning", f"telegram: the last delivery failed: {webhook.last_error_message}", fix)


def _groups(me: ptb.User) -> Iterator[Finding]:
    if me.can_join_groups is False:
        fix = "If it should: @BotFather, /setjoingroups, Enable."
        yield Finding("ok", "telegram: the bot cannot be added to groups", fix)
    elif not me.can_read_all_group_messages:
        fix = (
            "If it should answer when mentioned: @BotFather, /setprivacy, Disable, "
            "then remove the bot from each group and add it again."
        )
        yield Finding("warning", "telegram: in groups the bot sees only commands and replies to it", fix)
