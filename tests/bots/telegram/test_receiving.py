"""Polling and webhook over bad days: nothing is lost, and the health says what is wrong."""

import asyncio
from random import Random
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from bots.errors import AdapterOffline, AdapterUnauthorized
from bots.messages import Health, Incoming
from bots.telegram.polling import Cursor
from bots.testing import CANARY, RecordingSink
from bots.testing.bench import Bench
from tests.bots.telegram.conftest import MakeAdapter
from tests.bots.telegram.people import People, message_of
from tests.bots.telegram.server import SECRET_HEADER, BotApiServer


def is_degraded(sink: RecordingSink, reason: str) -> bool:
    return bool(sink.healths) and sink.healths[-1].state == "degraded" and reason in sink.healths[-1].reason


async def test_exactly_what_we_read_is_asked_for(
    make: MakeAdapter, people: People, server: BotApiServer, sink: RecordingSink
) -> None:
    async with Bench(make, people, 10).running(sink):
        kinds = server.called("getUpdates")[0]["allowed_updates"]
    assert kinds == ["message", "edited_message", "callback_query", "message_reaction", "my_chat_member"]


async def test_down_at_the_start_and_down_again(
    make: MakeAdapter, people: People, server: BotApiServer, sink: RecordingSink
) -> None:
    await server.stop()
    running = asyncio.ensure_future(make().run(sink))
    await sink.wait_for(lambda seen: is_degraded(seen, "cannot be reached"))
    assert sink.healths[0] == Health("connecting")
    await server.start()
    await people.say("first")
    await sink.wait_for(lambda seen: seen.said() == ["first"])
    await server.stop()
    await sink.wait_for(lambda seen: is_degraded(seen, "cannot be reached"))
    await people.say("second")
    await server.start()
    await sink.wait_for(lambda seen: seen.said() == ["first", "second"])
    assert sink.healths[-1] == Health("connected")
    running.cancel()
    await asyncio.wait([running])


async def test_a_refused_token_is_final_and_in_no_word(make: MakeAdapter, sink: RecordingSink) -> None:
    wrong = CANARY.replace("canary", "wrong")
    with pytest.raises(AdapterUnauthorized, match="token is refused") as error:
        await asyncio.wait_for(make(token=SecretStr(wrong)).run(sink), 10)
    assert error.value.__context__ is None
    with pytest.raises(AdapterUnauthorized, match="what is set as the token cannot be one"):
        await make(token=SecretStr(f"{wrong}/../x")).run(sink)
    assert wrong not in repr(sink.healths)


async def test_one_404_does_not_end_it_but_three_at_the_start_do(
    make: MakeAdapter, people: People, server: BotApiServer, sink: RecordingSink
) -> None:
    async with Bench(make, people, 10).running(sink):
        server.token, right = "110201543:another", server.token
        server.unknown_status = 404
        await sink.wait_for(lambda seen: is_degraded(seen, "404"))
        server.token = right
        await people.say("still there?")
        await sink.wait_for(lambda seen: seen.said() == ["still there?"])
    server.token = "110201543:another"
    with pytest.raises(AdapterUnauthorized, match="token is refused"):
        await asyncio.wait_for(make().run(sink), 10)


async def test_a_webhook_in_the_way_is_told_and_kept(
    make: MakeAdapter, server: BotApiServer, sink: RecordingSink
) -> None:
    server.webhook = {"url": "https://other.example/hook", "secret_token": ""}
    running = asyncio.ensure_future(make().run(sink))
    await sink.wait_for(lambda seen: is_degraded(seen, "take_over"))
    assert server.webhook["url"] == "https://other.example/hook"
    running.cancel()
    await asyncio.wait([running])


async def test_a_webhook_is_deleted_when_we_may(
    make: MakeAdapter, people: People, server: BotApiServer, sink: RecordingSink
) -> None:
    server.webhook = {"url": "https://other.example/hook", "secret_token": ""}
    async with Bench(lambda: make(take_over=True), people, 10).running(sink):
        assert server.webhook["url"] == ""


async def test_a_full_inbox_gets_a_batch_bit_by_bit(
    make: MakeAdapter, people: People, sink: RecordingSink
) -> None:
    said = [f"words {number}" for number in range(5)]
    for text in said:
        await people.say(text)
    sink.be_busy(3)
    async with Bench(make, people, 10).running(sink):
        await sink.wait_for(lambda seen: seen.said() == said)


async def test_over_many_restarts_each_message_is_heard_once_and_in_order(
    make: MakeAdapter, people: People, sink: RecordingSink
) -> None:
    chance, chats = Random(4), range(100, 130)
    for number in range(300):
        await people.say(str(number), chats[number % 30])
        if number % 15 == 14:
            running = asyncio.ensure_future(make().run(sink))
            await asyncio.sleep(chance.uniform(0, 0.1))
            running.cancel()
            await asyncio.wait([running])
    async with Bench(make, people, 10).running(sink):
        await sink.wait_for(lambda seen: len(seen.said()) == 300)
    assert sorted(map(int, sink.said())) == list(range(300))
    for chat in chats:
        heard = [
            int(one.text)
            for one in sink.events
            if isinstance(one, Incoming) and one.origin.chat.chat == str(chat)
        ]
        assert heard == sorted(heard)


async def test_updates_without_any_number_do_not_spin(
    make: MakeAdapter, people: People, server: BotApiServer, sink: RecordingSink
) -> None:
    async with Bench(make, people, 10).running(sink):
        server.raw_update({"update_id": None}, 1)
        await sink.wait_for(lambda seen: is_degraded(seen, "without a number"))
        await people.say("hello")
        await sink.wait_for(lambda seen: seen.said() == ["hello"])


def test_an_old_number_is_forgotten_before_telegram_counts_anew() -> None:
    now = [0.0]
    cursor = Cursor(clock=lambda: now[0])
    assert cursor.offset() is None
    cursor.pass_over([{"update_id": 41}, "mangled", {"update_id": 12}])
    assert cursor.offset() == 42
    now[0] = 7 * 24 * 3600.0
    assert cursor.offset() is None
    with pytest.raises(AdapterOffline):
        cursor.pass_over(["mangled"])


async def post(url: str, secret: str, **body: Any) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, headers={SECRET_HEADER: secret}, **body) as answer,
    ):
        return answer.status, answer.headers.get("Retry-After", "")


async def test_the_webhook_opens_to_its_secret_only(
    make: MakeAdapter,
    people: People,
    server: BotApiServer,
    sink: RecordingSink,
    webhook: dict[str, Any],
) -> None:
    url = webhook["webhook_url"]
    update = {"update_id": 1, "message": message_of(1, "hello")}
    async with Bench(lambda: make(**webhook), people, 10).running(sink):
        secret = server.webhook["secret_token"]
        assert CANARY not in secret
        for wrong in ("", "wrong", "\u00e9", secret[:-1]):
            assert (await post(url, wrong, json=update))[0] == 403
        assert (await post(f"{url}/else", secret, json=update))[0] == 404
        assert not sink.offered
        assert (await post(url, secret, data=b"{broken"))[0] == 400
        assert (await post(url, secret, data=b"[" * 100_000))[0] == 400
        assert (await post(url, secret, json=["mangled"]))[0] == 200
        sink.be_busy(1)
        assert await post(url, secret, json=update) == (503, "1")
        assert (await post(url, secret, json=update))[0] == 200
        assert sink.said() == ["hello"]


async def test_the_webhook_is_set_again_but_never_fought_for(
    make: MakeAdapter,
    people: People,
    server: BotApiServer,
    sink: RecordingSink,
    webhook: dict[str, Any],
) -> None:
    async with Bench(lambda: make(**webhook), people, 10).running(sink):
        server.webhook = {"url": ""}
        await server.wait_for(lambda seen: seen.webhook["url"] == webhook["webhook_url"])
        server.webhook = {"url": "https://other.example/hook", "secret_token": ""}
        await sink.wait_for(lambda seen: is_degraded(seen, "another program"))
        assert server.webhook["url"] == "https://other.example/hook"


async def test_a_port_in_use_is_named(
    make: MakeAdapter, server: BotApiServer, sink: RecordingSink, webhook: dict[str, Any]
) -> None:
    taken = webhook | {"webhook_port": server.port}
    with pytest.raises(AdapterOffline, match=f"cannot listen on 127.0.0.1:{server.port}"):
        await asyncio.wait_for(make(**taken).run(sink), 10)
