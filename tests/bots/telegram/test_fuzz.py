"""Any update, valid or mangled, ends nothing and takes no neighbour with it."""

import asyncio
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bots.messages import Event, Incoming
from bots.telegram.adapter import TelegramAdapter
from bots.telegram.addressing import Me
from bots.telegram.client import Client
from bots.telegram.config import TelegramConfig
from bots.telegram.intake import Intake
from bots.telegram.wire import update_id_from
from bots.testing import CANARY, RecordingSink
from bots.testing.bench import Bench
from tests.bots.telegram.people import ANN, GROUP, People, message_of
from tests.bots.telegram.server import BotApiServer

# Lone surrogates are escaped in JSON, so they come through the wire.
TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["/help", "/help@banter_test_bot x", "@banter_test_bot", "\ud83d\udc4d", "\ud83d", "\x00", "\u202e/start"]
)
NUMBERS = st.integers() | st.integers(-(2**80), 2**80) | st.floats() | st.just(10**300)
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
CHATS = st.sampled_from([7, GROUP])
ENTITIES = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["mention", "text_mention", "bot_command", "url"]),
            "offset": st.integers(-3, 60),
            "length": st.integers(-3, 60),
        },
        optional={"user": st.just({"id": 110201543, "is_bot": True})},
    ),
    max_size=4,
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Messages with what addressing looks at."""
    more: dict[str, Any] = {"entities": draw(ENTITIES)}
    if draw(st.booleans()):
        more["reply_to_message"] = {"message_id": 4, "from": draw(st.sampled_from([ANN, {"id": 110201543}]))}
    if draw(st.booleans()):
        more["edit_date"] = draw(st.integers(0, 2**40))
    return message_of(draw(st.integers(1, 2**40)), draw(TEXTS), draw(CHATS), **more)


@st.composite
def updates(draw: st.DrawFn) -> dict[str, Any]:
    """Updates as Telegram makes them."""
    kind = draw(st.sampled_from(["message", "edited_message", "callback_query", "message_reaction", "poll"]))
    emoji = st.lists(st.fixed_dictionaries({"type": st.just("emoji"), "emoji": TEXTS}), max_size=3)
    message = draw(messages())
    payload: dict[str, Any] = message
    if kind == "callback_query":
        payload = {"id": draw(TEXTS), "from": ANN, "message": message, "data": draw(TEXTS)}
    elif kind == "message_reaction":
        about = {"chat": message["chat"], "message_id": 5, "user": ANN, "date": 1_700_000_000}
        payload = {**about, "old_reaction": draw(emoji), "new_reaction": draw(emoji)}
    return {"update_id": 1, kind: payload}


def mangled(value: Any, draw: st.DrawFn, depth: int = 0) -> Any:
    """The same with something in it left out or replaced."""
    if isinstance(value, dict) and value and (depth == 0 or draw(st.booleans())):
        key = draw(st.sampled_from(sorted(value)))
        if key == "update_id":  # the server's own order; Telegram's word is all there is for it
            return value
        rest = {name: one for name, one in value.items() if name != key}
        return rest if draw(st.booleans()) else {**rest, key: mangled(value[key], draw, depth + 1)}
    return draw(JUNK)


@st.composite
def anything(draw: st.DrawFn) -> Any:
    """Valid, mangled or no update at all."""
    shape = draw(st.integers(0, 5))
    if shape == 0:
        return draw(JUNK)
    return draw(updates()) if shape == 1 else mangled(draw(updates()), draw)


def neighbours() -> tuple[dict[str, Any], dict[str, Any]]:
    before, after = (
        {"update_id": number, "message": message_of(2**50 + number, text, 2**40)}
        for number, text in ((1, "before"), (3, "after"))
    )
    return before, after


def heard(events: list[Event]) -> list[str]:
    return [
        event.text for event in events if isinstance(event, Incoming) and event.origin.chat.chat == str(2**40)
    ]


def config_for(url: str) -> TelegramConfig:
    return TelegramConfig.model_validate(
        {"token": CANARY, "base_url": url, "poll_timeout_s": 1, "max_backoff_s": 0.05}
    )


def test_nothing_in_a_batch_harms_its_neighbours() -> None:
    me = Me("110201543", "banter_test_bot", ("odile",), frozenset({"help"}))
    before, after = neighbours()
    client = Client(config_for("http://127.0.0.1:9"))  # nobody listens; a press finds out

    @given(st.lists(anything(), max_size=4))
    @example([{"update_id": 1, "message": {**message_of(1, "x"), "date": 10**18}}])
    @example([{"update_id": 10**400}, [[]], {"update_id": True}])
    @settings(max_examples=300, deadline=None)
    def holds(strange: list[Any]) -> None:
        sink = RecordingSink("telegram")
        runner.run(Intake(client, sink, lambda: me).take([before, *strange, after]))
        assert heard(sink.events) == ["before", "after"]
        assert all(number is None or number >= 0 for number in map(update_id_from, strange))

    with asyncio.Runner() as runner:
        holds()


@given(strange=st.lists(anything(), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_nothing_over_the_wire_harms_its_neighbours(strange: list[Any]) -> None:
    """The same through the client library, with a number of its own for each update that is an object."""

    async def talk() -> list[str]:
        server, sink = BotApiServer(), RecordingSink("telegram")
        await server.start()
        people, config = People(server), config_for(server.url)
        try:
            async with Bench(lambda: TelegramAdapter(config), people, 10).running(sink):
                await people.say("before", 2**40)
                for raw in strange:
                    number = server.next_update
                    server.raw_update({**raw, "update_id": number} if isinstance(raw, dict) else raw, number)
                await people.say("after", 2**40)
                await sink.wait_for(lambda seen: heard(seen.events) == ["before", "after"])
                return heard(sink.events)
        finally:
            await server.stop()

    assert asyncio.run(talk()) == ["before", "after"]
