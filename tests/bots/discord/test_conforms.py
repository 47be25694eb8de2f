"""The kit for adapters, against a Discord of our own, through discord.py."""

from functools import partial
from pathlib import Path

from discord_server import DiscordServer

from bots.testing import check_adapter


async def test_discord_conforms(server: DiscordServer) -> None:
    await check_adapter(server.adapter, server, timeout_s=5)


async def test_it_conforms_with_a_session_in_a_file(server: DiscordServer, tmp_path: Path) -> None:
    make = partial(server.adapter, session_file=str(tmp_path / "session.json"))
    await check_adapter(make, server, timeout_s=5)
