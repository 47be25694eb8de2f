"""The section [telegram] of config.toml."""

import hmac
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from bots.messages import AdapterConfig, Shape

Seconds = Annotated[float, Field(gt=0, le=3600)]
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")  # what the Bot API takes as secret_token


class TelegramConfig(AdapterConfig):
    """How to reach Telegram, and how it reaches us."""

    token: Annotated[  # from @BotFather
        SecretStr, Shape(r"\d{5,}:[\w-]{30,}", "123456789:AAH and 32 more letters, as @BotFather shows it")
    ]
    base_url: str = "https://api.telegram.org"  # or a Bot API server of your own
    mode: Literal["polling", "webhook"] = "polling"
    take_over: bool = False  # polling: delete a webhook that another program has set
    names: tuple[str, ...] = ()  # words that address the bot in groups; none = its own name
    poll_timeout_s: Annotated[int, Field(ge=1, le=50)] = (
        25  # one long poll, or between two looks at the webhook
    )
    request_timeout_s: Seconds = 10.0
    max_backoff_s: Seconds = 30.0  # longest pause between two attempts to connect
    webhook_url: Annotated[str, Field(validate_default=True)] = ""
    webhook_host: str = "127.0.0.1"
    webhook_port: Annotated[int, Field(ge=1, le=65535)] = 8443
    webhook_secret: SecretStr | None = None  # None = made from the token

    @field_validator("token")
    @classmethod
    def _bare(cls, token: SecretStr) -> SecretStr:
        return SecretStr(token.get_secret_value().strip())

    @field_validator("base_url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError("write it as https://host")
        return url

    @field_validator("webhook_url")
    @classmethod
    def _needed(cls, url: str, known: ValidationInfo) -> str:
        if not url and known.data.get("mode") == "webhook":
            raise ValueError('mode = "webhook" needs the public address that Telegram calls')
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("write it as https://host/path")
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _taken(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not _SECRET.fullmatch(secret.get_secret_value()):
            raise ValueError("1 to 256 of A-Z, a-z, 0-9, _ and - are taken")
        return secret

    def api_root(self) -> str:
        """What the token follows in every address; `base_url` may come with or without Telegram's /bot."""
        root = self.base_url.rstrip("/")
        return root if root.endswith("/bot") or "{token}" in root else f"{root}/bot"

    def webhook_path(self) -> str:
        """Where webhook_url points to on our own server."""
        return urlsplit(self.webhook_url).path or "/"

    def secret_token(self) -> str:
        """What Telegram sends along, so that nobody else can; equal in all processes with the same token."""
        if self.webhook_secret is not None:
            return self.webhook_secret.get_secret_value()
        return hmac.digest(self.token.get_secret_value().encode(), b"webhook", "sha256").hex()
