"""A Discord of our own for the tests."""

from collections.abc import AsyncIterator

import pytest
from discord_server import DiscordServer

from bots.testing import RecordingSink


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    running = DiscordServer()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink("discord")
