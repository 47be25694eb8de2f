"""Slash commands as Discord knows them, replaced only when they differ."""

import logging
from collections.abc import Sequence
from typing import Any

from bots.discord.bodies import commands_from_usages
from bots.discord.rest import Rest
from bots.errors import DeliveryError
from bots.messages import Usage

_COMPARED = ("name", "description", "type", "required", "autocomplete")
_MAX_CHOICES = 25
_log = logging.getLogger(__name__)


async def publish(rest: Rest, application: str, guilds: Sequence[str], usages: Sequence[Usage]) -> None:
    """Make the commands known, to these servers or to all; what fails is logged, people can still talk."""
    wanted = commands_from_usages(usages)
    for guild in guilds or ("",):
        try:
            known = await _known(rest, application, guild)
            if _facts(known) == _facts(wanted):
                continue
            if guild:
                await rest.bulk_upsert_guild_commands(application, guild, wanted)
            else:
                await rest.bulk_upsert_global_commands(application, wanted)
        except DeliveryError as error:
            _log.warning("the slash commands could not be published: %s", error)


def completions(usages: Sequence[Usage], command: str, typed: str) -> list[str]:
    """Words that may follow a command, those that begin as what is typed already."""
    choices = next((usage.choices for usage in usages if usage.name == command), ())
    return [one[:100] for one in choices if one.startswith(typed)][:_MAX_CHOICES]


async def _known(rest: Rest, application: str, guild: str) -> Any:
    if guild:
        return await rest.get_guild_commands(application, guild)
    return await rest.get_global_commands(application)


def _facts(commands: Any) -> object:
    """What makes commands the same, in any order; None for what are no commands."""
    if not isinstance(commands, list):
        return None
    return sorted(map(_fact, commands), key=repr)


def _fact(command: Any) -> object:
    if not isinstance(command, dict):
        return None
    compared = [command.get(key) or False for key in _COMPARED]
    options = command.get("options")
    return compared, [_fact(one) for one in options] if isinstance(options, list) else []
