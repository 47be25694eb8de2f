"""The section [discord] of config.toml."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, SecretStr

from bots.messages import AdapterConfig, Shape

Id = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class DiscordConfig(AdapterConfig):
    """What a bot on Discord needs to know; the token comes from BANTER_DISCORD__TOKEN."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        coerce_numbers_to_str=True
    )  # ids may stand without quotes

    token: Annotated[
        SecretStr,
        Shape(r"[\w-]{18,}\.[\w-]{4,}\.[\w-]{20,}", "three parts with dots, from Bot > Reset Token"),
    ]
    message_content: bool = True  # False = mention-only: hears direct messages, mentions and replies, no more
    channels: tuple[Id, ...] = ()  # channels in which everything said is meant for the bot
    names: tuple[str, ...] = ()  # words that address the bot, as its mention does; none = its own name
    guilds: tuple[Id, ...] = ()  # servers that get the slash commands at once; none = all, within an hour
    catch_up_hours: Annotated[float, Field(ge=0, le=24 * 14)] = (
        24.0  # how far back missed messages are fetched
    )
    session_file: str = ".banter/discord-session.json"  # kept over restarts; empty = nowhere
    timeout_s: Seconds = 15.0  # of one request
    max_backoff_s: Seconds = 60.0  # longest pause between two attempts to connect
    heartbeat_timeout_s: Seconds = 60.0  # a gateway that says nothing for so long is left
    api_base: Annotated[str, Field(pattern=r"^https?://\S+$")] = "https://discord.com/api/v10"
    gateway_url: Annotated[str, Field(pattern=r"^wss?://\S+$")] = "wss://gateway.discord.gg/"
