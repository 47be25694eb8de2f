"""What the bot hears and does, through discord.py and a server of our own."""

import asyncio
from typing import Any

import pytest
from discord_server import BOT, PUBLIC, TOKEN, DiscordServer, running, until

from bots.discord.adapter import DiscordAdapter
from bots.errors import AdapterUnauthorized, ChatGone, RetryAfter, SendFailed, SendRefused
from bots.messages import (
    ChatKey,
    Command,
    Deleted,
    Document,
    Edited,
    Event,
    Incoming,
    MessageRef,
    Outgoing,
    Presence,
    Reaction,
    Usage,
)
from bots.testing import RecordingSink

CHAT = ChatKey("discord", "1000", PUBLIC)


async def next_event(sink: RecordingSink, kind: type[Event]) -> Any:
    await sink.wait_for(lambda seen: any(isinstance(one, kind) for one in seen.events))
    return next(one for one in sink.events if isinstance(one, kind))


async def test_what_happens_to_messages_is_told(server: DiscordServer, sink: RecordingSink) -> None:
    async with running(server.adapter(), sink):
        said = await server.say("<@1000> hello", PUBLIC, mentions=[BOT])
        place = {"channel_id": PUBLIC, "guild_id": "4000"}
        edited = {**said, "content": "hello!", "edited_timestamp": said["timestamp"]}
        await server.gateway.dispatch("MESSAGE_UPDATE", {**edited, **place})
        change = {**place, "user_id": "2000", "message_id": said["id"], "emoji": {"id": None, "name": "👍"}}
        await server.gateway.dispatch("MESSAGE_REACTION_ADD", change)
        await server.gateway.dispatch("MESSAGE_REACTION_ADD", {**change, "user_id": "1000"})
        await server.gateway.dispatch("MESSAGE_REACTION_REMOVE", change)
        await server.gateway.dispatch("MESSAGE_DELETE", {**place, "id": said["id"]})
        await next_event(sink, Deleted)
    incoming, edit, added, removed, deleted = sink.events
    assert isinstance(incoming, Incoming)
    assert (incoming.text, incoming.is_addressed, incoming.origin.user.roles) == ("hello", True, ("5001",))
    assert isinstance(edit, Edited)
    assert isinstance(added, Reaction)
    assert isinstance(removed, Reaction)
    assert (added.added, removed.removed) == (("👍",), ("👍",))
    assert isinstance(deleted, Deleted)


async def test_a_server_left_and_a_channel_deleted_are_told(
    server: DiscordServer, sink: RecordingSink
) -> None:
    async with running(server.adapter(), sink):
        await server.gateway.dispatch("GUILD_CREATE", {"id": "4002", "channels": []})
        await server.gateway.dispatch("GUILD_DELETE", {"id": "4002", "unavailable": True})
        await server.gateway.dispatch("GUILD_DELETE", {"id": "4002"})
        await server.gateway.dispatch("CHANNEL_DELETE", {"id": PUBLIC, "type": 0, "guild_id": "4000"})
        await sink.wait_for(lambda seen: len(seen.events) == 3)
    told = [(one.is_present, one.origin.chat.chat) for one in sink.events if isinstance(one, Presence)]
    assert told == [(True, "4002"), (False, "4002"), (False, PUBLIC)]


async def test_a_command_is_deferred_at_once_and_answered_in_its_place(
    server: DiscordServer, sink: RecordingSink
) -> None:
    async with running(server.adapter(), sink) as adapter:
        sink.close()  # the inbox is slow, Discord waits no more than 3 s
        talk = await server.command("persona", "odile", PUBLIC)
        await until(lambda: talk.acknowledged == {"type": 5})
        sink.open()
        command = await next_event(sink, Command)
        assert (command.name, command.argument, command.origin.user.roles) == ("persona", "odile", ("5001",))
        parts = [
            Outgoing(text, chat=CHAT, nonce=text, answer_by=command.origin.answer_by)
            for text in ("one", "two")
        ]
        for part in (*parts, *parts):  # each offered twice, as after a failure
            await adapter.send(part)
    assert talk.answer is not None
    assert talk.answer["content"] == "one"
    assert server.said_by_bot(PUBLIC) == ["one", "two"]
    assert talk.token not in repr(command)


async def test_after_a_restart_an_answer_is_not_written_over(
    server: DiscordServer, sink: RecordingSink
) -> None:
    async with running(server.adapter(), sink) as adapter:
        await server.command("help")
        command = await next_event(sink, Command)
        first = Outgoing("one", chat=server.chat, nonce="1", answer_by=command.origin.answer_by)
        await adapter.send(first)
    async with running(server.adapter(), sink) as adapter:
        await adapter.send(first)
        await adapter.send(Outgoing("two", chat=server.chat, nonce="2", answer_by=command.origin.answer_by))
    assert server.texts() == ["one", "two"]


@pytest.mark.parametrize(
    "answer_by", ["1001:175928847299117063:stale", "1001:1:unknown", "1001:{fresh}:unknown", "nonsense", "::"]
)
async def test_an_answer_whose_token_is_worthless_comes_as_a_message(
    server: DiscordServer, sink: RecordingSink, answer_by: str
) -> None:
    answer_by = answer_by.format(fresh=server.world.new_id())
    async with running(server.adapter(), sink) as adapter:
        await adapter.send(Outgoing("hello", chat=server.chat, nonce="1", answer_by=answer_by))
    assert server.texts() == ["hello"]


async def test_a_command_that_finds_no_room_is_told_so(server: DiscordServer, sink: RecordingSink) -> None:
    async with running(DiscordAdapter(server.config(), max_waiting=0), sink):
        talk = await server.command("help")
        await until(lambda: talk.acknowledged)
    assert talk.acknowledged is not None
    assert talk.acknowledged["data"]["content"] == "Too much is waiting; try again in a moment."


async def test_buttons_come_back_as_reactions(server: DiscordServer, sink: RecordingSink) -> None:
    async with running(server.adapter(), sink) as adapter:
        ref = await adapter.send(Outgoing("How was it?", chat=server.chat, asks_feedback=True))
        talk = await server.press(ref.id, "banter:down")
        reaction = await next_event(sink, Reaction)
        await until(lambda: talk.acknowledged == {"type": 6})
    assert (reaction.message_id, reaction.added) == (ref.id, ("👎",))


async def test_commands_are_published_once_and_completed(server: DiscordServer, sink: RecordingSink) -> None:
    usages = [Usage("undo", "take back"), Usage("persona", "who speaks", ("odile", "brisk"))]
    for _ in range(2):
        adapter = server.adapter()
        await adapter.publish_commands(usages)
        async with running(adapter, sink):
            await until(lambda: [one["name"] for one in server.world.commands.get("", [])])
            talk = await server.complete("persona", "od")
            await until(lambda talk=talk: talk.acknowledged)
    assert server.world.calls.count("PUT /api/applications/1001/commands") == 1
    assert talk.acknowledged == {"type": 8, "data": {"choices": [{"name": "odile", "value": "odile"}]}}


async def test_commands_may_be_published_to_single_servers(
    server: DiscordServer, sink: RecordingSink
) -> None:
    adapter = server.adapter(guilds=[4000])
    await adapter.publish_commands([Usage("undo", "take back")])
    async with running(adapter, sink):
        await until(lambda: server.world.commands.get("4000"))
    assert "" not in server.world.commands


async def test_messages_are_edited_deleted_and_reacted_to(server: DiscordServer, sink: RecordingSink) -> None:
    async with running(server.adapter(), sink) as adapter:
        ref = await adapter.send(Outgoing("a", chat=CHAT))
        await adapter.edit(ref, "b")
        await adapter.react(ref, "👍")
        shown = server.world.find(PUBLIC, ref.id)
        assert shown is not None
        assert (shown["content"], len(shown["reactions"])) == ("b", 1)
        await adapter.react(ref, "")
        assert shown["reactions"] == []
        await adapter.typing(CHAT)
        assert server.world.typed == [PUBLIC]
        await adapter.delete(ref)
        await adapter.delete(ref)
        assert server.world.find(PUBLIC, ref.id) is None
        with pytest.raises(SendRefused):
            await adapter.edit(ref, "c")


async def test_files_pictures_and_replies_go_with_a_message(
    server: DiscordServer, sink: RecordingSink
) -> None:
    document = Document("export.json", '{"said": "hé\ud800"}')
    async with running(server.adapter(), sink) as adapter:
        await adapter.send(Outgoing("yours", chat=CHAT, document=document, reply_to="7"))
        await adapter.send(Outgoing("", chat=CHAT, media_url="https://example.org/a.gif"))
    first, second = (one["sent"] for one in server.world.messages[PUBLIC])
    assert server.world.files == [("export.json", '{"said": "hé\ufffd"}')]
    assert first["message_reference"] == {"message_id": "7", "fail_if_not_exists": False}
    assert second["embeds"][0]["image"]["url"] == "https://example.org/a.gif"


async def test_a_channel_that_is_no_more_is_gone(server: DiscordServer, sink: RecordingSink) -> None:
    async with running(server.adapter(), sink) as adapter:
        with pytest.raises(ChatGone, match="404, code 10003"):
            await adapter.send(Outgoing("a", chat=ChatKey("discord", "1000", "99")))
        with pytest.raises(SendRefused, match="400, code 50006"):
            await adapter.send(Outgoing("", chat=CHAT))
        server.set_fault("rate_limited")
        with pytest.raises(RetryAfter) as pause:
            await adapter.send(Outgoing("a", chat=CHAT))
        assert (pause.value.seconds, pause.value.is_overall) == (0.1, False)
        server.set_fault(None)
    with pytest.raises(SendFailed, match="not connected"):
        await adapter.edit(MessageRef(CHAT, "1"), "b")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [(4004, "the token is refused"), (4014, "the message content intent is off; switch it on")],
)
async def test_a_final_refusal_is_explained_without_the_token(
    server: DiscordServer, sink: RecordingSink, code: int, sentence: str
) -> None:
    server.gateway.close_code = code
    with pytest.raises(AdapterUnauthorized, match=sentence) as error:
        await asyncio.wait_for(server.adapter().run(sink), 5)
    assert TOKEN not in repr(error.value)


async def test_mention_only_does_not_ask_for_the_intent(server: DiscordServer, sink: RecordingSink) -> None:
    for message_content in (True, False):
        async with running(server.adapter(message_content=message_content), sink):
            pass
    assert [bool(intents & 1 << 15) for intents in server.gateway.intents] == [True, False]
