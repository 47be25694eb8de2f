"""The adapter conforms, polling and by webhook, through the real client library."""

from typing import Any

from pydantic import SecretStr

from bots.messages import Incoming
from bots.testing import RecordingSink, check_adapter
from bots.testing.bench import Bench
from tests.bots.telegram.conftest import MakeAdapter
from tests.bots.telegram.people import GROUP, People


async def test_polling_conforms(make: MakeAdapter, people: People) -> None:
    await check_adapter(make, people)


async def test_the_webhook_conforms(make: MakeAdapter, people: People, webhook: dict[str, Any]) -> None:
    await check_adapter(lambda: make(**webhook), people)


async def test_the_webhook_keeps_its_secret(
    make: MakeAdapter, people: People, webhook: dict[str, Any]
) -> None:
    secret = "secretCANARYsecret"
    await check_adapter(lambda: make(**webhook, webhook_secret=SecretStr(secret)), people, canary=secret)


async def test_without_names_it_answers_to_its_own(
    make: MakeAdapter, people: People, sink: RecordingSink
) -> None:
    async with Bench(make, people, 10).running(sink):
        for text in ("BANTER, are you there?", "mere bantering"):
            await people.say(text, chat=GROUP)
        await sink.wait_for(lambda seen: len(seen.events) == 2)
    assert [one.is_addressed for one in sink.events if isinstance(one, Incoming)] == [True, False]
