"""Each dispatch of the gateway finds its conversion here, and its way into the intake."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import ValidationError

from bots.discord import convert
from bots.discord.intake import Intake, Newest, NewSession, Reached
from bots.discord.memory import Session
from bots.discord.payloads import (
    Channel,
    Deletion,
    Edit,
    Guild,
    Interaction,
    Message,
    ReactionChange,
    Ready,
)
from bots.discord.surroundings import Surroundings, newest_messages
from bots.messages import Event

_log = logging.getLogger(__name__)


class Reception:
    """Hears what the gateway says; never waits, never raises over what it hears."""

    def __init__(
        self,
        surroundings: Surroundings,
        intake: Intake,
        acknowledge: Callable[[Interaction, bool], None],
        began: Callable[[], None],
    ) -> None:
        """Hand events to `intake`.

        Args:
            acknowledge: begin to answer an interaction, told whether its event was taken.
            began: called when a session has begun or goes on.
        """
        self._around, self._intake, self._acknowledge, self._began = (
            surroundings,
            intake,
            acknowledge,
            began,
        )

    def hear(self, name: str, payload: object, session: Session | None) -> None:
        """Take one dispatch."""
        try:
            self._take(name, payload, session.stamp if session else "", datetime.now(UTC))
        except ValidationError as error:
            _log.warning("a %s cannot be read: %d mistakes", name, error.error_count())
        if session:
            self._intake.mark(Reached(session))

    def _take(self, name: str, payload: object, stamp: str, now: datetime) -> None:
        me = self._around.me
        match name:
            case "MESSAGE_CREATE":
                message = Message.model_validate(payload)
                self._around.note(message)
                self._offer(convert.request_from_message(message, me))
            case "MESSAGE_UPDATE":
                self._offer(convert.edited_from_edit(Edit.model_validate(payload), me))
            case "MESSAGE_DELETE" | "MESSAGE_DELETE_BULK":
                self._offer(convert.deleted_from_deletion(Deletion.model_validate(payload), me, now))
            case "MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE":
                change = ReactionChange.model_validate(payload)
                self._offer(convert.reaction_from_change(change, name.endswith("ADD"), me, stamp, now))
            case "INTERACTION_CREATE":
                interaction = Interaction.model_validate(payload)
                self._acknowledge(
                    interaction, self._offer(convert.event_from_interaction(interaction, me, now))
                )
            case "READY":
                self._around.begin(Ready.model_validate(payload))
                self._intake.mark(NewSession())
                self._began()
            case "RESUMED":
                self._began()
            case "GUILD_CREATE" | "GUILD_DELETE":
                self._take_guild(Guild.model_validate(payload), name == "GUILD_CREATE", stamp, now)
            case "CHANNEL_DELETE" | "THREAD_DELETE":
                channel = Channel.model_validate(payload)
                self._offer(convert.presence_of(channel.id, channel.guild_id or "", False, me, stamp, now))

    def _take_guild(self, guild: Guild, is_there: bool, stamp: str, now: datetime) -> None:
        if guild.unavailable:  # an outage of Discord's, neither coming nor going
            return
        is_news = self._around.enter(guild) if is_there else True
        if not is_there:
            self._around.leave(guild)
        if is_news:
            self._offer(convert.presence_of(guild.id, guild.id, is_there, self._around.me, stamp, now))
        for channel, newest in newest_messages(guild) if is_there else ():
            self._intake.mark(Newest(channel, newest))

    def _offer(self, event: Event | None) -> bool:
        if event is None or self._intake.offer(event):
            return True
        _log.warning("too much is waiting: a %s is lost", type(event).__name__)
        return False
