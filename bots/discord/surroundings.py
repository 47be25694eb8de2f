"""What the bot has come to know about where it is, since single payloads do not tell."""

from collections.abc import Iterable
from dataclasses import replace

from bots.discord.convert import Me
from bots.discord.payloads import Guild, Message, Ready

MAX_PLACES = 100_000
_WITH_TEXT = (0, 2, 5, 10, 11, 12, 13)  # types of channels that hold messages


class Surroundings:
    """Who we are, the servers we are in, and which channel belongs to which.

    Attributes: me; application, its id, which old bots have beside the bot's own.
    """

    def __init__(self, me: Me) -> None:
        """Nothing known but the bot itself."""
        self.me, self.application = me, me.id
        self._guilds: set[str] = set()
        self._guild_by_channel: dict[str, str] = {}

    def recall(self, application: str, roles: Iterable[str]) -> None:
        """What an earlier process was told, for a session that goes on."""
        self.application = application
        self.me = replace(self.me, roles=frozenset(roles))

    def begin(self, ready: Ready) -> None:
        """A new session names the servers that we are in."""
        self._guilds = {guild.id for guild in ready.guilds}
        self.application = ready.application.id or self.application

    def enter(self, guild: Guild) -> bool:
        """A server as it is now; True if we were not in it before."""
        own = {role.id for role in guild.roles if role.tags and role.tags.bot_id == self.me.id}
        self.me = replace(self.me, roles=self.me.roles | own)
        is_new = guild.id not in self._guilds
        self._guilds.add(guild.id)
        for channel in (*guild.channels, *guild.threads):
            self._note(channel.id, guild.id)
        return is_new

    def leave(self, guild: Guild) -> None:
        """We are no longer in a server."""
        self._guilds.discard(guild.id)

    def note(self, message: Message) -> None:
        """A message of the gateway tells whether its channel belongs to a server."""
        self._note(message.channel_id, message.guild_id or "")

    def guild_of(self, channel: str) -> str | None:
        """The server of a channel, empty for a direct one; None when we do not know."""
        return self._guild_by_channel.get(channel)

    def learn(self, channel: str, guild: str) -> None:
        """What was asked about a channel."""
        self._note(channel, guild)

    def _note(self, channel: str, guild: str) -> None:
        if len(self._guild_by_channel) < MAX_PLACES:
            self._guild_by_channel[channel] = guild


def newest_messages(guild: Guild) -> list[tuple[str, int]]:
    """Channels of a server that hold messages, each with the id of its newest."""
    channels = (*guild.channels, *guild.threads)
    return [
        (one.id, int(one.last_message_id))
        for one in channels
        if one.last_message_id and one.type in _WITH_TEXT
    ]
