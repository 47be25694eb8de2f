"""What a small Discord remembers: people, channels, messages, and what the bot has done to them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

TOKEN = "110201543:AAHcanaryCANARYcanaryCANARYcanary00"  # the kit's canary
BOT = {"id": "1000", "username": "banter", "global_name": "Banter", "bot": True}
APPLICATION = "1001"
ANN = {"id": "2000", "username": "ann", "global_name": "Ann"}
MEMBER = {"nick": "Annie", "roles": ["5001"]}  # Ann in the server
DIRECT, GUILD, PUBLIC = "3000", "4000", "3001"  # a direct channel, a server and a channel of it
BOT_ROLE = "5000"
_EPOCH_MS = 1_420_070_400_000

Json = dict[str, Any]


@dataclass
class Talk:
    """One slash command or pressed button, from the server's side."""

    token: str
    channel: str
    created: float
    acknowledged: Json | None = None
    answer: Json | None = None  # the message that stands for it


@dataclass
class World:
    """All of it; ids grow with time as Discord's do."""

    channels: dict[str, Json] = field(default_factory=dict)
    messages: dict[str, list[Json]] = field(default_factory=dict)
    nonces: dict[tuple[str, str], Json] = field(default_factory=dict)
    talks: dict[str, Talk] = field(default_factory=dict)  # by id of the interaction
    commands: dict[str, list[Json]] = field(default_factory=dict)  # by server, "" for all
    typed: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)  # "METHOD path" of all requests
    files: list[tuple[str, str]] = field(default_factory=list)
    whispered: list[str] = field(default_factory=list)  # seen by one person alone
    flags: int = 1 << 19
    permissions: int = 1 << 3
    num_starts: int = 999
    interactions_url: str | None = None
    counts: bool = False  # ids from 1, which tell no time
    last_id: int = 0

    def __post_init__(self) -> None:
        self.channels[DIRECT] = {"id": DIRECT, "type": 1, "recipients": [ANN]}
        self.channels["3002"] = {"id": "3002", "type": 1}
        self.channels[PUBLIC] = {"id": PUBLIC, "type": 0, "guild_id": GUILD, "name": "public"}

    def new_id(self) -> str:
        if self.counts:
            self.last_id += 1
            return str(self.last_id)
        now = int((datetime.now(UTC).timestamp()) * 1000) - _EPOCH_MS
        self.last_id = max(self.last_id + 1, now << 22)
        return str(self.last_id)

    def message(self, channel: str, author: Json, content: str, **more: Any) -> Json:
        """A message as a history shows it: without its server."""
        made = {
            "id": self.new_id(),
            "channel_id": channel,
            "author": author,
            "content": content,
            "timestamp": datetime.now(UTC).isoformat(),
            "edited_timestamp": None,
            "mentions": [],
            "mention_roles": [],
            "type": 0,
            **more,
        }
        self.messages.setdefault(channel, []).append(made)
        self.channels[channel]["last_message_id"] = made["id"]
        return made

    def find(self, channel: str, message: str) -> Json | None:
        return next((one for one in self.messages.get(channel, []) if one["id"] == message), None)

    def guild(self) -> Json:
        """GUILD_CREATE."""
        channels = [one for one in self.channels.values() if one.get("guild_id") == GUILD]
        roles = [{"id": GUILD, "name": "@everyone"}, {"id": BOT_ROLE, "tags": {"bot_id": BOT["id"]}}]
        return {"id": GUILD, "name": "Guild", "channels": channels, "threads": [], "roles": roles}
