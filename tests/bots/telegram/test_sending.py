"""What the bot does on Telegram, as the server sees it, and how refusals are told apart."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bots.abilities import missing_or_idle
from bots.errors import (
    BotError,
    ChatGone,
    MessageTooLong,
    RetryAfter,
    SendFailed,
    SendRefused,
)
from bots.messages import ChatKey, Document, MessageRef, Moved, Outgoing, Usage
from bots.telegram.adapter import TelegramAdapter
from bots.testing import RecordingSink
from bots.testing.bench import Bench
from tests.bots.telegram.conftest import MakeAdapter
from tests.bots.telegram.people import GROUP, People
from tests.bots.telegram.server import BotApiServer, Refused

THUMBS = ["\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"]


@pytest.fixture
async def adapter(make: MakeAdapter, people: People, sink: RecordingSink) -> AsyncIterator[TelegramAdapter]:
    """At work, with two commands to publish."""

    made = make()
    await made.publish_commands([Usage("help", "this list"), Usage("reset", "start anew")])
    async with Bench(lambda: made, people, 10).running(sink) as trial:
        assert isinstance(trial.adapter, TelegramAdapter)
        yield trial.adapter


async def test_a_reply_with_buttons(adapter: TelegramAdapter, people: People, server: BotApiServer) -> None:
    asked = await people.say("hello")
    ref = await adapter.send(Outgoing("hi", chat=people.chat, reply_to=str(asked), asks_feedback=True))
    sent = server.sent[int(ref.id)]
    assert sent["reply_parameters"] == {"message_id": asked, "allow_sending_without_reply": True}
    [row] = sent["reply_markup"]["inline_keyboard"]
    assert [button["text"] for button in row] == THUMBS
    assert sent["link_preview_options"] == {"is_disabled": True}
    assert "parse_mode" not in sent


async def test_what_no_protocol_takes_is_made_takeable(adapter: TelegramAdapter, people: People) -> None:
    await adapter.send(Outgoing("half \ud83d of a pair\x00", chat=people.chat))
    assert people.texts() == ["half \ufffd of a pair\ufffd"]


async def test_into_a_topic(adapter: TelegramAdapter, server: BotApiServer) -> None:
    topic = ChatKey("telegram", "110201543", str(GROUP), "9")
    ref = await adapter.send(Outgoing("hi", chat=topic))
    await adapter.typing(topic)
    assert server.sent[int(ref.id)]["message_thread_id"] == 9
    assert server.called("sendChatAction")[0]["message_thread_id"] == 9


async def test_a_gif_a_picture_and_a_file(
    adapter: TelegramAdapter, people: People, server: BotApiServer
) -> None:
    for url in ("https://media.example/a.gif", "https://media.example/b.JPG?x=1"):
        await adapter.send(Outgoing("", chat=people.chat, media_url=url))
    await adapter.send(Outgoing("yours", chat=people.chat, document=Document("me.json", '{"a": "\u00e9"}')))
    gif, picture, file = server.sent.values()
    assert (gif["animation"], picture["photo"]) == (
        "https://media.example/a.gif",
        "https://media.example/b.JPG?x=1",
    )
    assert (file["caption"], file["document"]) == ("yours", '{"a": "\u00e9"}')
    with pytest.raises(MessageTooLong, match="1025 units, the platform takes 1024"):
        await adapter.send(Outgoing("x" * 1025, chat=people.chat, media_url="https://media.example/a.gif"))


async def test_edit_react_delete(adapter: TelegramAdapter, people: People, server: BotApiServer) -> None:
    ref = await adapter.send(Outgoing("one", chat=people.chat))
    await adapter.edit(ref, "two")
    await adapter.edit(ref, "two")  # not modified is as good
    assert people.texts() == ["two"]
    await adapter.react(ref, "\u2764\ufe0f")
    await adapter.react(ref, "")
    given = [params["reaction"] for params in server.called("setMessageReaction")]
    assert given == [[{"type": "emoji", "emoji": "\u2764"}], []]
    await adapter.delete(ref)
    await adapter.delete(ref)  # gone is as good
    assert people.texts() == []
    with pytest.raises(SendRefused, match="no message of Telegram"):
        await adapter.edit(MessageRef(people.chat, "b1"), "three")


async def test_the_menu_is_written_once(
    adapter: TelegramAdapter, make: MakeAdapter, people: People, server: BotApiServer
) -> None:
    names = [command["command"] for command in server.commands]
    assert names == ["help", "reset"]
    again = make()
    await again.publish_commands([Usage("help", "this list"), Usage("reset", "start anew")])
    async with Bench(lambda: again, people, 10).running(RecordingSink("telegram")):
        assert len(server.called("setMyCommands")) == 1


async def test_a_press_is_heard_and_answered(
    adapter: TelegramAdapter, people: People, server: BotApiServer, sink: RecordingSink
) -> None:
    ref = await adapter.send(Outgoing("hi", chat=people.chat, asks_feedback=True))
    place = {"message_id": int(ref.id), "chat": {"id": 7, "type": "private"}, "date": 1_700_000_000}
    sender = {"id": 7, "is_bot": False, "first_name": "Ann"}
    server.update(callback_query={"id": "88", "from": sender, "message": place, "data": "feedback:up"})
    await server.wait_for(lambda seen: bool(seen.called("answerCallbackQuery")))
    [reaction] = sink.events
    assert reaction.origin.key == "c:88"


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (Refused(403, "Forbidden: bot was blocked by the user"), ChatGone),
        (Refused(400, "Bad Request: chat not found"), ChatGone),
        (Refused(400, "Bad Request: message thread not found"), ChatGone),
        (Refused(400, "Bad Request: not enough rights to send text messages"), SendRefused),
        (Refused(429, "Too Many Requests: retry after 7", retry_after=7), RetryAfter),
        (Refused(502, "Bad Gateway"), SendFailed),
    ],
)
async def test_refusals_are_told_apart(
    adapter: TelegramAdapter, people: People, server: BotApiServer, refused: Refused, error: type[BotError]
) -> None:
    server.refusals[people.chat.chat] = refused
    with pytest.raises(error) as raised:
        await adapter.send(Outgoing("hi", chat=people.chat))
    assert type(raised.value) is error
    assert raised.value.__cause__ is raised.value.__context__ is None
    if isinstance(raised.value, RetryAfter):
        assert raised.value.seconds == 7
    other = replace(people.chat, chat="8")
    assert (await adapter.send(Outgoing("hi", chat=other))).id  # one chat's trouble is not another's


async def test_a_secret_that_comes_back_is_not_repeated(
    adapter: TelegramAdapter, people: People, server: BotApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "bots")
    server.refusals[people.chat.chat] = Refused(400, f"Bad Request: no /bot{server.token}/sendMessage")
    with pytest.raises(SendRefused, match="telegram: send refused with 400"):
        await adapter.send(Outgoing("hi", chat=people.chat))
    told = [record.getMessage() for record in caplog.records if "send failed" in record.getMessage()]
    assert told == ["telegram: send failed: No /bot.../sendmessage"]


async def test_what_a_refusal_quotes_is_told_at_debug_only(
    adapter: TelegramAdapter, people: People, server: BotApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.refusals[people.chat.chat] = Refused(400, "Bad Request: can't parse: chat not found, our secret")
    with pytest.raises(SendRefused) as raised:
        await adapter.send(Outgoing("our secret", chat=people.chat))
    assert "our secret" not in f"{raised.value}{caplog.text}"


async def test_a_message_follows_its_group_into_the_supergroup(
    adapter: TelegramAdapter, server: BotApiServer, sink: RecordingSink
) -> None:
    old = ChatKey("telegram", "110201543", "-12")
    server.refusals["-12"] = Refused(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=GROUP)
    ref = await adapter.send(Outgoing("hi", chat=old))
    assert ref.chat == replace(old, chat=str(GROUP))
    [event] = sink.events
    assert isinstance(event, Moved)
    assert (event.origin.chat, event.to) == (old, ref.chat)


async def test_nothing_is_sent_without_content_or_connection(
    adapter: TelegramAdapter, make: MakeAdapter, people: People
) -> None:
    with pytest.raises(SendRefused, match="nothing to send"):
        await adapter.send(Outgoing(" \n", chat=people.chat))
    with pytest.raises(SendRefused, match="no https"):
        await adapter.send(Outgoing("", chat=people.chat, media_url=__file__))
    with pytest.raises(SendRefused, match="50 MB"):
        await adapter.send(Outgoing("", chat=people.chat, document=Document("all.json", "x" * 50_000_001)))
    with pytest.raises(SendFailed, match="not connected"):
        await make().send(Outgoing("hi", chat=people.chat))
    assert not missing_or_idle(adapter)
