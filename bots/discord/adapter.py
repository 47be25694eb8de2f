"""One bot on Discord: the gateway brings events, REST takes messages."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from discord.http import Route
from pydantic import BaseModel, ValidationError

from bots.discord import check
from bots.discord.answers import Answers
from bots.discord.backoff import Backoff
from bots.discord.bodies import MAX_LEN, NOBODY
from bots.discord.config import DiscordConfig
from bots.discord.convert import NAME, Me, own_reactions
from bots.discord.gateway import Gateway
from bots.discord.history import History
from bots.discord.intake import Intake
from bots.discord.memory import SAVE_EVERY_S, SAVE_FIRST_S, Remembered, Session, recall, remember
from bots.discord.payloads import Interaction, Person
from bots.discord.publishing import completions, publish
from bots.discord.reception import Reception
from bots.discord.rest import MessageGone, Rest
from bots.discord.surroundings import Surroundings
from bots.errors import DeliveryError, MessageTooLong, SendFailed, SendRefused
from bots.messages import (
    API_VERSION,
    Caps,
    ChatKey,
    Finding,
    Health,
    Limits,
    MessageRef,
    Outgoing,
    Rate,
    Sink,
    Usage,
)

MAX_WAITING = 10_000  # events between gateway and sink
_log = logging.getLogger(__name__)


class DiscordAdapter:
    """Direct messages, servers, threads and slash commands; what was missed is read from the channels."""

    name: ClassVar[str] = NAME
    api_version: ClassVar[int] = API_VERSION
    Config: ClassVar[type[BaseModel]] = DiscordConfig
    caps = Caps(
        edit=True,
        delete=True,
        react=True,
        typing=True,
        publish_commands=True,
        check=True,
        nonce=True,
        media=True,
        documents=True,
        buttons=True,
    )
    limits = Limits(max_len=MAX_LEN, per_chat=Rate(5, 5.0), overall=Rate(45, 1.0), typing_s=10.0)

    def __init__(self, config: DiscordConfig, max_waiting: int = MAX_WAITING) -> None:
        """Nothing is connected yet; at most `max_waiting` events will wait for the sink."""
        self._config, self._max_waiting = config, max_waiting
        self._usages: tuple[Usage, ...] = ()
        self._is_published = False
        self._rest: Rest | None = None
        self._answers: Answers | None = None

    async def run(self, sink: Sink) -> None:
        """Log in, then listen and deliver until cancelled.

        Raises:
            AdapterUnauthorized: Discord refuses the token or an intent.
        """
        sink.report(Health("connecting"))
        async with Rest(self._config) as rest:
            self._rest, self._answers = rest, Answers(rest)
            try:
                await self._listen(sink, rest, await self._log_in(sink, rest))
            except ExceptionGroup as group:  # of two that fail together one is as good as the other
                raise _first(group) from None
            finally:
                self._rest = self._answers = None

    async def _log_in(self, sink: Sink, rest: Rest) -> Me:
        backoff = Backoff(self._config.max_backoff_s)
        while True:
            try:
                person = Person.model_validate(await rest.request(Route("GET", "/users/@me")))
                names = self._config.names or (person.global_name or person.username,)
                return Me(person.id, channels=frozenset(self._config.channels), names=names)
            except (DeliveryError, ValidationError) as error:
                reason = (
                    str(error) if isinstance(error, DeliveryError) else "discord: does not say who we are"
                )
                sink.report(Health("degraded", reason))
            await asyncio.sleep(backoff.next_s())

    async def _listen(self, sink: Sink, rest: Rest, me: Me) -> None:
        around = Surroundings(me)
        max_age = timedelta(hours=self._config.catch_up_hours)
        history = History(rest, around, max_age)
        intake = Intake(sink, me.id, history.pages, self._max_waiting, self._config.max_backoff_s)
        async with asyncio.TaskGroup() as group:

            def acknowledge(interaction: Interaction, is_taken: bool) -> None:
                group.create_task(self._acknowledge(interaction, is_taken))

            def began() -> None:
                if self._usages and not self._is_published:
                    self._is_published = True
                    group.create_task(publish(rest, around.application, self._config.guilds, self._usages))

            reception = Reception(around, intake, acknowledge, began)
            gateway = Gateway(self._config, rest, reception.hear, sink.report)
            if remembered := await recall(self._config.session_file, me.id):
                around.recall(remembered.application, remembered.roles)
                gateway.session = remembered.session
            group.create_task(intake.deliver())
            group.create_task(gateway.listen())
            if self._config.session_file:
                group.create_task(self._remember(intake, around))

    async def _remember(self, intake: Intake, around: Surroundings) -> None:
        saved: Session | None = None
        try:
            while True:
                is_new = not saved or not intake.accepted or saved.id != intake.accepted.id
                await asyncio.sleep(SAVE_FIRST_S if is_new else SAVE_EVERY_S)
                saved = await self._save(intake, around, saved)
        finally:  # an orderly end leaves nothing to be replayed
            await self._save(intake, around, saved)

    async def _save(self, intake: Intake, around: Surroundings, saved: Session | None) -> Session | None:
        session, roles = intake.accepted, tuple(sorted(around.me.roles))
        if session and intake.is_whole and session != saved:
            known = Remembered(bot=around.me.id, session=session, application=around.application, roles=roles)
            await remember(self._config.session_file, known)
            return session
        return saved

    async def _acknowledge(self, interaction: Interaction, is_taken: bool) -> None:
        data = interaction.data
        typed = next((option.value or "" for option in data.options if option.focused), "")
        choices = completions(self._usages, data.name, typed)
        if self._answers is not None:
            await self._answers.acknowledge(interaction, is_taken, choices)

    async def send(self, message: Outgoing) -> MessageRef:
        """Send one message; nobody is pinged by it."""
        length = self.limits.length(message.text)
        if length > self.limits.max_len:
            raise MessageTooLong(length, self.limits.max_len)
        if self._answers is None:
            raise SendFailed("discord: not connected yet")
        return await self._answers.send(message)

    async def edit(self, ref: MessageRef, text: str) -> None:
        """Replace the text of one of the bot's messages."""
        if self.limits.length(text) > self.limits.max_len:
            raise MessageTooLong(self.limits.length(text), self.limits.max_len)
        body = {"content": text, "allowed_mentions": NOBODY}
        await self._connected().request(_message("PATCH", ref), json=body)

    async def delete(self, ref: MessageRef) -> None:
        """Take away one of the bot's messages."""
        try:
            await self._connected().request(_message("DELETE", ref))
        except MessageGone:
            _log.debug("a message to be deleted was gone already")

    async def react(self, ref: MessageRef, emoji: str) -> None:
        """Put an emoji on a message; an empty one takes all of the bot's own away."""
        rest = self._connected()
        if emoji:
            return await rest.add_reaction(ref.chat.chat, ref.id, emoji)
        message = await rest.message(_message("GET", ref))
        for name in own_reactions(message):
            await rest.remove_own_reaction(ref.chat.chat, ref.id, name)

    async def typing(self, chat: ChatKey) -> None:
        """Show that the bot is typing."""
        await self._connected().send_typing(chat.chat)

    async def publish_commands(self, usages: Sequence[Usage]) -> None:
        """Keep them; each new session compares them with what Discord knows."""
        self._usages = tuple(usages)

    async def check(self) -> Sequence[Finding]:
        """Ask Discord about the token, the intent and the rights."""
        return await check.findings(self._config)

    def _connected(self) -> Rest:
        if self._rest is None:
            raise SendFailed("discord: not connected yet")
        return self._rest


def _message(method: str, ref: MessageRef) -> Route:
    path = "/channels/{channel_id}/messages/{message_id}"
    if not ref.id.isdecimal():
        raise SendRefused("discord: this is no id of a message")
    return Route(method, path, channel_id=ref.chat.chat, message_id=ref.id)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
