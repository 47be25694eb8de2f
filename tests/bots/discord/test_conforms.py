"""The kit for adapters, against a Discord of our own, through discord.py."""

from discord_server import DiscordServer

from bots.testing import check_adapter


async def test_discord_conforms(server: DiscordServer) -> None:
    await check_adapter(server.adapter, server, timeout_s=5)
