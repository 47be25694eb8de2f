"""What was said while nobody listened, read from the channels themselves."""

import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from bots.discord.convert import is_snowflake, request_from_message, snowflake_at
from bots.discord.payloads import Channel, Member, Message
from bots.discord.rest import Rest
from bots.discord.surroundings import Surroundings
from bots.errors import ChatGone, SendFailed, SendRefused
from bots.messages import Command, Request

PAGE_LEN = 100  # messages; Discord gives no more at once
MAX_PAGES = 50  # of one channel at once
_DIRECT, _UNKNOWN = 1, -1  # types of channels
_log = logging.getLogger(__name__)


class History:
    """Reads channels; a message is the same event that it would have been live."""

    def __init__(self, rest: Rest, surroundings: Surroundings, max_age: timedelta) -> None:
        """Nothing older than `max_age` is read."""
        self._rest, self._surroundings, self._max_age = rest, surroundings, max_age

    async def pages(self, channel: str, after: int) -> AsyncIterator[tuple[Sequence[Request], int]]:
        """Requests of a channel after an id, oldest first, page by page with the last id read.

        Raises:
            DeliveryError: the channel is gone, or cannot be read now.
        """
        if is_snowflake(str(after)):
            after = max(after, snowflake_at(datetime.now(UTC) - self._max_age))
        place = await self._place(channel)
        for _ in range(MAX_PAGES):
            payloads = await self._rest.logs_from(channel, PAGE_LEN, after=after)
            if not isinstance(payloads, list):
                raise SendFailed("discord: a history is no list")
            messages = sorted(self._messages(payloads, place), key=lambda message: int(message.id))
            fresh = [message for message in messages if int(message.id) > after]
            if not fresh:
                return
            after = int(fresh[-1].id)
            yield [request async for request in self._requests(fresh)], after
            if len(payloads) < PAGE_LEN:
                return
        raise SendFailed("discord: more was missed in a channel than is read at once; the rest follows")

    async def _requests(self, messages: Sequence[Message]) -> AsyncIterator[Request]:
        """Events of messages; whoever addresses the bot comes with the roles that decide what is allowed."""
        members: dict[str, Member | None] = {}
        for message in messages:
            request = request_from_message(message, self._surroundings.me)
            if request is None:
                continue
            author, guild = message.author.id, message.guild_id
            if guild and (isinstance(request, Command) or request.is_addressed):
                if author not in members:
                    members[author] = await self._member(guild, author)
                known = message.model_copy(update={"member": members[author]})
                request = request_from_message(known, self._surroundings.me) or request
            yield request

    async def _member(self, guild: str, user: str) -> Member | None:
        try:
            return Member.model_validate(await self._rest.get_member(guild, user))
        except (ChatGone, SendRefused, ValidationError):  # has left since
            return None

    async def _place(self, channel: str) -> dict[str, Any]:
        """What messages in a history lack: their server."""
        guild = self._surroundings.guild_of(channel)
        kind = _DIRECT
        if guild is None:
            try:
                found = Channel.model_validate(await self._rest.get_channel(channel))
            except (ChatGone, SendRefused):  # Discord refuses the messages too; others may not know this path
                return {"channel_type": _DIRECT}
            except ValidationError:
                return {"channel_type": _UNKNOWN}  # then nothing counts as private
            guild, kind = found.guild_id or "", found.type
            if guild or kind == _DIRECT:
                self._surroundings.learn(channel, guild)
        return {"guild_id": guild} if guild else {"channel_type": kind}

    def _messages(self, payloads: Sequence[object], place: dict[str, Any]) -> list[Message]:
        found = []
        for payload in payloads:
            try:
                found.append(Message.model_validate(payload).model_copy(update=place))
            except ValidationError as error:
                _log.warning("a message of a history cannot be read: %d mistakes", error.error_count())
        return found
