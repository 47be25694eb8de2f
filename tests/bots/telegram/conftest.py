"""A Bot API server, people on it, and adapters connected to it."""

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from bots.telegram.adapter import TelegramAdapter
from bots.telegram.config import TelegramConfig
from bots.testing import CANARY, RecordingSink
from tests.bots.telegram.people import People
from tests.bots.telegram.server import BotApiServer

MakeAdapter = Callable[..., TelegramAdapter]


@pytest.fixture
async def server() -> AsyncIterator[BotApiServer]:
    """Running."""
    server = BotApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def people(server: BotApiServer) -> People:
    return People(server)


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink("telegram")


@pytest.fixture
def make(server: BotApiServer) -> MakeAdapter:
    """An adapter on the server, impatient; keys of its Config override."""

    def adapter(**keys: Any) -> TelegramAdapter:
        given = {
            "token": SecretStr(CANARY),
            "base_url": server.url,
            "poll_timeout_s": 1,
            "request_timeout_s": 0.4,
            "max_backoff_s": 0.05,
            **keys,
        }
        return TelegramAdapter(TelegramConfig(**given))

    return adapter


@pytest.fixture
def webhook() -> dict[str, Any]:
    """Keys of Config for a webhook on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/hook"
    return {"mode": "webhook", "webhook_url": url, "webhook_port": port}
