"""The adapter conforms, polling and by webhook, through the real client library."""

from typing import Any

from pydantic import SecretStr

from bots.testing import check_adapter
from tests.bots.telegram.conftest import MakeAdapter
from tests.bots.telegram.people import People


async def test_polling_conforms(make: MakeAdapter, people: People) -> None:
    await check_adapter(make, people)


async def test_the_webhook_conforms(make: MakeAdapter, people: People, webhook: dict[str, Any]) -> None:
    await check_adapter(lambda: make(**webhook), people)


async def test_the_webhook_keeps_its_secret(
    make: MakeAdapter, people: People, webhook: dict[str, Any]
) -> None:
    secret = "secretCANARYsecret"
    await check_adapter(lambda: make(**webhook, webhook_secret=SecretStr(secret)), people, canary=secret)
