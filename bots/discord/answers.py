"""Sending: an ordinary message, or the answer to a slash command while its token lives."""

import logging
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from discord.http import Route

from bots.discord.bodies import BUSY, body_from_outgoing, post_from_outgoing
from bots.discord.convert import is_snowflake, snowflake_time
from bots.discord.payloads import Interaction
from bots.discord.rest import Rest, original
from bots.errors import ChatGone, DeliveryError, SendRefused
from bots.messages import MessageRef, Outgoing

_TOKEN_LIFE = timedelta(minutes=14)  # Discord says 15
_COMMAND, _PRESS, _COMPLETION = 2, 3, 4  # types of interactions
_THINKING, _SAY, _NOTHING, _CHOICES = 5, 4, 6, 8  # types of first answers
_EPHEMERAL = 64
_MAX_REMEMBERED = 1000
_log = logging.getLogger(__name__)


class Answers:
    """Puts messages where they belong, each once, as often as they are offered."""

    def __init__(self, rest: Rest) -> None:
        """Send through `rest`."""
        self._rest = rest
        self._nonces: OrderedDict[str, str] = OrderedDict()  # by token: whose place "is thinking" was

    async def acknowledge(self, interaction: Interaction, is_taken: bool, choices: list[str]) -> None:
        """The first answer, due within 3 s; what fails here is answered by an ordinary message later."""
        body: dict[str, Any] = {"type": _NOTHING}
        if interaction.type == _COMPLETION:
            body = {"type": _CHOICES, "data": {"choices": [{"name": one, "value": one} for one in choices]}}
        elif interaction.type == _COMMAND and is_taken:
            body = {"type": _THINKING}
        elif interaction.type == _COMMAND:
            body = {"type": _SAY, "data": {"content": BUSY, "flags": _EPHEMERAL}}
        elif interaction.type != _PRESS:
            return
        try:
            path = "/interactions/{webhook_id}/{webhook_token}/callback"
            route = Route("POST", path, webhook_id=interaction.id, webhook_token=interaction.token)
            await self._rest.request(route, json=body)
        except DeliveryError as error:
            _log.info("an interaction could not be acknowledged: %s", error)

    async def send(self, message: Outgoing) -> MessageRef:
        """Send one message; with `answer_by` in the place of "is thinking", if nothing else took that."""
        application, _, rest = message.answer_by.partition(":")
        interaction, _, token = rest.partition(":")
        if not token or not interaction.isdecimal() or not _is_fresh(interaction):
            return await self._post(message)
        if message.is_for_asker:
            return await self._whisper(message, application, token)
        try:
            if ref := await self._answer(message, application, token):
                return ref
        except (SendRefused, ChatGone):  # the token is worth nothing, or "is thinking" never appeared
            return await self._post(message)
        try:
            return await self._post(message)
        except ChatGone:  # no rights in this channel, but whoever gave a command may be answered
            route = Route("POST", "/webhooks/{webhook_id}/{webhook_token}", **_webhook(application, token))
            body = body_from_outgoing(message)
            made = await self._rest.message(route, body, message.document, {"wait": "true"})
            return MessageRef(message.chat, made["id"])

    async def _whisper(self, message: Outgoing, application: str, token: str) -> MessageRef:
        """Instead of "is thinking", which everybody sees and whose answer everybody would see."""
        with suppress(SendRefused, ChatGone):
            await self._rest.request(original("DELETE", **_webhook(application, token)))
        route = Route("POST", "/webhooks/{webhook_id}/{webhook_token}", **_webhook(application, token))
        body = {**body_from_outgoing(message), "flags": _EPHEMERAL}
        made = await self._rest.message(route, body, None, {"wait": "true"})
        return MessageRef(message.chat, made["id"])

    async def _post(self, message: Outgoing) -> MessageRef:
        route = Route("POST", "/channels/{channel_id}/messages", channel_id=message.chat.chat)
        made = await self._rest.message(route, post_from_outgoing(message), message.document)
        return MessageRef(message.chat, made["id"])

    async def _answer(self, message: Outgoing, application: str, token: str) -> MessageRef | None:
        """Replace "is thinking"; None if another message has done so, as the first part of a long one.

        Such answers know no nonce. So look first: what stands there already is ours if it says the same.
        """
        body = body_from_outgoing(message)
        owner = self._nonces.get(token)
        if owner not in (None, message.nonce):
            return None
        there = await self._there(application, token) if owner is None else None
        if there and there.get("content"):
            is_ours = there["content"] == body["content"]
            return MessageRef(message.chat, there["id"]) if is_ours else None
        route = original("PATCH", **_webhook(application, token))
        made = await self._rest.message(route, body, message.document)
        self._nonces[token] = message.nonce
        if len(self._nonces) > _MAX_REMEMBERED:
            self._nonces.popitem(last=False)
        return MessageRef(message.chat, made["id"])

    async def _there(self, application: str, token: str) -> dict[str, Any] | None:
        try:
            return await self._rest.message(original("GET", **_webhook(application, token)))
        except SendRefused:
            return None


def _webhook(application: str, token: str) -> dict[str, str]:
    return {"webhook_id": application, "webhook_token": token}


def _is_fresh(interaction: str) -> bool:
    is_old = datetime.now(UTC) - snowflake_time(interaction) > _TOKEN_LIFE
    return not (is_old and is_snowflake(interaction))
