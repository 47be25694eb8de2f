"""Whatever the gateway sends, the adapter stands, and the payloads before and after are heard."""

import asyncio
import json
from typing import Any

import pytest
from discord_server import ANN, BOT, PUBLIC, DiscordServer, running, until
from discord_world import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bots.discord.gateway import DISPATCHES
from bots.errors import AdapterError
from bots.messages import Incoming, MessageRef, Outgoing
from bots.testing import RecordingSink

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MESSAGE = World().message(PUBLIC, ANN, "<@1000> hi", mentions=[BOT], guild_id="4000", member={"roles": []})
INTERACTION = {
    "id": "7",
    "application_id": "1001",
    "type": 2,
    "token": "talk",
    "channel_id": PUBLIC,
    "user": ANN,
    "data": {"name": "help", "options": [{"name": "argument", "value": "x"}]},
}
REACTION = {"user_id": "2000", "channel_id": PUBLIC, "message_id": "8", "emoji": {"id": None, "name": "👍"}}
GUILD_PAYLOAD = {"id": "4000", "channels": [{"id": PUBLIC, "type": 0}], "roles": [{"id": "5", "tags": {}}]}
VALID = st.sampled_from([MESSAGE, INTERACTION, REACTION, GUILD_PAYLOAD, {"id": "9", "channel_id": PUBLIC}])


@st.composite
def mangled(draw: st.DrawFn) -> Any:
    """A sound payload with one of its leaves or branches replaced or missing."""
    payload = json.loads(json.dumps(draw(VALID)))
    place: Any = payload
    for _ in range(draw(st.integers(1, 4))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and draw(st.booleans()):
            place = place[key]
        elif draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(JSON)
        if not isinstance(place, dict | list):
            break
    return payload


def frame(name: str, data: Any) -> str:
    return json.dumps({"op": 0, "t": name, "s": 1, "d": data})


# READY would give the session a name that the server does not know; it is mangled below.
DISPATCH = st.builds(frame, st.sampled_from([one for one in DISPATCHES if one != "READY"]), mangled() | JSON)
FRAME = DISPATCH | st.text(max_size=30) | JSON.map(json.dumps) | st.just("[" * 5000)
HUGE = 10**30


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(FRAME.filter(lambda text: not is_control(text)), min_size=10, max_size=40))
def test_no_payload_ends_the_adapter_or_its_neighbours(frames: list[str]) -> None:
    asyncio.run(between_neighbours(frames))


def is_control(text: str) -> bool:
    """Whether it asks for a new connection: that is tried elsewhere, and would hide what is tried here."""
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(payload, dict) and payload.get("op") not in (0, None)


async def between_neighbours(frames: list[str]) -> None:
    server, sink = DiscordServer(), RecordingSink("discord")
    await server.start()
    try:
        async with running(server.adapter(), sink):
            [line] = server.gateway.lines
            for number, text in enumerate(frames):
                await server.say(f"neighbour {number}")
                await line.send(text)
            await server.say("last")
            await sink.wait_for(lambda seen: "last" in seen.said(), 5)
            assert server.gateway.lines == [line]  # nobody had to connect anew
    finally:
        await server.stop()
    expected = [*(f"neighbour {number}" for number in range(len(frames))), "last"]
    direct = [one.text for one in sink.events if isinstance(one, Incoming) and one.text in expected]
    assert direct == expected


@pytest.mark.parametrize("interval", [None, "x", -1, HUGE, float("nan"), True, []])
async def test_a_hello_without_sense_is_asked_for_again(
    server: DiscordServer, sink: RecordingSink, interval: Any
) -> None:
    server.gateway.hello = json.dumps({"op": 10, "d": {"heartbeat_interval": interval}})
    task = asyncio.ensure_future(server.adapter().run(sink))
    await sink.wait_for(lambda seen: "degraded" in [one.state for one in seen.healths])
    server.gateway.hello = ""
    await sink.wait_for(lambda seen: seen.healths[-1].state == "connected")
    await until(lambda: len(server.gateway.lines) == 1)  # the others were closed
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize("ready", [None, [], {}, {"session_id": 7, "resume_gateway_url": 7, "guilds": 7}])
async def test_a_ready_without_sense_does_no_harm(
    server: DiscordServer, sink: RecordingSink, ready: Any
) -> None:
    async with running(server.adapter(), sink):
        await server.gateway.send_raw(json.dumps({"op": 0, "t": "READY", "s": 1, "d": ready}))
        await server.say("hello")
        await sink.wait_for(lambda seen: seen.said() == ["hello"])
        server.gateway.abort()
        await sink.wait_for(lambda seen: seen.healths[-1].state == "degraded")
        await sink.wait_for(lambda seen: seen.healths[-1].state == "connected")
        await server.say("again")
        await sink.wait_for(lambda seen: "again" in seen.said())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(JSON.map(json.dumps) | st.binary(max_size=20).map(str), min_size=1, max_size=8))
def test_no_answer_of_rest_raises_anything_foreign(answers: list[str]) -> None:
    asyncio.run(ask(answers))


async def ask(answers: list[str]) -> None:
    server, sink = DiscordServer(), RecordingSink("discord")
    await server.start()
    try:
        async with running(server.adapter(), sink) as adapter:
            ref = MessageRef(server.chat, "7")
            answer_by = f"1001:{server.world.new_id()}:token"
            for server.answer in answers:
                for attempt in (
                    adapter.send(Outgoing("a", chat=server.chat, answer_by=answer_by)),
                    adapter.edit(ref, "b"),
                    adapter.react(ref, ""),
                    adapter.check(),
                ):
                    try:
                        await attempt
                    except AdapterError:
                        continue
            server.answer = None
    finally:
        await server.stop()
