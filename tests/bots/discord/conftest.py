"""The server lies beside the tests; pytest's importlib mode puts no folder on the path by itself."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

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
