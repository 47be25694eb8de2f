"""What the doctor wants to know, by asking only."""

from typing import Any

from discord.http import Route

from bots.discord.config import DiscordConfig
from bots.discord.gateway import INTENT_MISSING
from bots.discord.rest import Rest
from bots.errors import AdapterUnauthorized, DeliveryError
from bots.messages import Finding

PERMISSIONS = {
    "View Channels": 1 << 10,
    "Send Messages": 1 << 11,
    "Send Messages in Threads": 1 << 38,
    "Embed Links": 1 << 14,
    "Attach Files": 1 << 15,
    "Read Message History": 1 << 16,
    "Add Reactions": 1 << 6,
}
_ADMINISTRATOR = 1 << 3
_CONTENT_FLAGS = 1 << 18 | 1 << 19  # verified bots, and those in fewer than 100 servers
_FEW_STARTS = 50


async def findings(config: DiscordConfig) -> list[Finding]:
    """Token, intent, gateway, and the bot's rights in each server."""
    async with Rest(config) as rest:
        try:
            me = _table(await rest.request(Route("GET", "/users/@me")))
            application = _table(await rest.application_info())
            gateway = _table(await rest.request(Route("GET", "/gateway/bot")))
            guilds = await rest.request(Route("GET", "/users/@me/guilds"))
        except AdapterUnauthorized:
            return [
                Finding(
                    "problem",
                    "Discord refuses the token",
                    "Reset it in the Developer Portal under Bot; put the new one into BANTER_DISCORD__TOKEN",
                )
            ]
        except DeliveryError as error:
            return [Finding("problem", str(error), "Check the network, and api_base if you have set it")]
    invite = invite_url(str(application.get("id") or me.get("id") or ""))
    return [
        Finding("ok", f"Discord knows the bot as {me.get('username')}"),
        _intent(config, application),
        *_interactions(application),
        *_starts(gateway),
        *_guilds(guilds if isinstance(guilds, list) else [], invite),
    ]


def invite_url(application: str) -> str:
    """Where somebody lets the bot into a server, with all it needs."""
    return (
        f"https://discord.com/oauth2/authorize?client_id={application}"
        f"&scope=bot%20applications.commands&permissions={sum(PERMISSIONS.values())}"
    )


def _intent(config: DiscordConfig, application: dict[str, Any]) -> Finding:
    if not config.message_content:
        return Finding("ok", "Mention-only: the bot hears direct messages, mentions and replies")
    if _number(application.get("flags")) & _CONTENT_FLAGS:
        return Finding("ok", "The message content intent is on")
    fix = INTENT_MISSING.partition("; ")[2]
    return Finding("problem", "The message content intent is off", fix[:1].upper() + fix[1:])


def _interactions(application: dict[str, Any]) -> list[Finding]:
    if not application.get("interactions_endpoint_url"):
        return []
    return [
        Finding(
            "problem",
            "Slash commands go to an Interactions Endpoint URL and never reach the bot",
            "Empty that field in the Developer Portal under General Information",
        )
    ]


def _starts(gateway: dict[str, Any]) -> list[Finding]:
    limit = _table(gateway.get("session_start_limit"))
    if "remaining" not in limit or _number(limit["remaining"]) >= _FEW_STARTS:
        return []
    return [
        Finding(
            "warning",
            f"Only {_number(limit['remaining'])} connections are left for today",
            "Find out what restarts the bot",
        )
    ]


def _guilds(guilds: list[Any], invite: str) -> list[Finding]:
    if not guilds:
        return [
            Finding(
                "warning", "The bot is in no server; direct messages need one in common", f"Open {invite}"
            )
        ]
    found = []
    for guild in map(_table, guilds):
        held = _number(guild.get("permissions"))
        lacking = [name for name, bit in PERMISSIONS.items() if not held & bit]
        if lacking and not held & _ADMINISTRATOR:
            what = f"In {guild.get('name')} the bot lacks: {', '.join(lacking)}"
            found.append(Finding("warning", what, f"Give its role these permissions, or open {invite}"))
    return found or [Finding("ok", f"All permissions in {len(guilds)} servers")]


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> int:
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else 0
