"""Connections that end in every way there is: nothing said is lost, nothing counts twice, order is kept."""

import asyncio
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from discord_server import ANN, BOT, DIRECT, GUILD, PUBLIC, DiscordServer, running, until

from bots.discord import history
from bots.discord.adapter import DiscordAdapter
from bots.messages import Command, Incoming, Outgoing
from bots.testing import RecordingSink

NEW = "3002"  # a direct channel in which nothing was said


async def test_it_waits_for_a_server_that_is_down_at_first(
    server: DiscordServer, sink: RecordingSink
) -> None:
    adapter = server.adapter()
    await server.stop()
    task = asyncio.ensure_future(adapter.run(sink))
    await sink.wait_for(lambda seen: [one.state for one in seen.healths].count("degraded") >= 3)
    assert "cannot be reached" in sink.healths[-1].reason
    await server.start()
    await sink.wait_for(lambda seen: seen.healths[-1].state == "connected")
    await server.say("hello")
    await sink.wait_for(lambda seen: seen.said() == ["hello"])
    task.cancel()
    await asyncio.wait({task})


async def test_it_comes_back_after_a_server_that_was_stopped(
    server: DiscordServer, sink: RecordingSink
) -> None:
    async with running(server.adapter(), sink):
        await server.say("one")
        await sink.wait_for(lambda seen: seen.said() == ["one"])
        await server.stop()
        await sink.wait_for(lambda seen: [one.state for one in seen.healths].count("degraded") >= 3)
        await server.say("two")
        await server.start()
        await sink.wait_for(lambda seen: seen.said() == ["one", "two"])
    assert (server.gateway.num_identified, server.gateway.num_resumed) == (1, 1)


async def test_a_lost_session_is_made_up_for_from_the_channels(
    server: DiscordServer, sink: RecordingSink
) -> None:
    async with running(server.adapter(), sink):
        await server.say("one")
        await server.say("<@1000> eins", PUBLIC, mentions=[BOT])
        await sink.wait_for(lambda seen: len(seen.said()) == 2)
        await server.gateway.invalidate()
        for number in range(150):  # more than one page
            await server.say(f"direct {number}")
        await server.say("<@1000> zwei", PUBLIC, mentions=[BOT])
        await sink.wait_for(lambda seen: len(seen.said()) == 153)
        await server.say("last")
        await sink.wait_for(lambda seen: seen.said()[-1] == "last")
    direct = [one.text for one in sink.events if isinstance(one, Incoming) and one.origin.is_private]
    public = [one for one in sink.events if isinstance(one, Incoming) and not one.origin.is_private]
    assert direct == ["one", *(f"direct {number}" for number in range(150)), "last"]
    assert [(one.text, one.origin.guild, one.is_addressed) for one in public] == [
        ("eins", GUILD, True),
        ("zwei", GUILD, True),
    ]


async def test_a_channel_nobody_had_written_in_is_looked_into(
    server: DiscordServer, sink: RecordingSink
) -> None:
    async with running(server.adapter(), sink):
        await server.say("hello")
        await sink.wait_for(lambda seen: seen.said() == ["hello"])
    await server.say("<@1000> anyone?", PUBLIC, mentions=[BOT])
    async with running(server.adapter(), sink):
        await sink.wait_for(lambda seen: seen.said() == ["hello", "anyone?"])
    assert sink.events[-1].origin.user.roles == ("5001",)  # a history leaves them out


async def test_a_session_in_a_file_goes_on_after_a_restart(
    server: DiscordServer, sink: RecordingSink, tmp_path: Path
) -> None:
    file = tmp_path / "session.json"
    async with running(server.adapter(session_file=str(file)), sink):
        await server.say("one")
        await sink.wait_for(lambda seen: seen.said() == ["one"])
        await until(lambda: file.exists() and '"sequence":3' in file.read_text())
        sink.close()  # killed before this is accepted
        await server.say("two", NEW)
        await sink.wait_for(lambda seen: len(seen.offered) > 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    sink.open()
    await server.say("three", NEW, author={**ANN, "id": "2001"})
    async with running(server.adapter(session_file=str(file)), sink):
        await sink.wait_for(lambda seen: seen.said() == ["one", "two", "three"])
    assert server.gateway.num_resumed == 1


@pytest.mark.parametrize("content", ["", "[]", '{"bot": "1000"}', "\x00"])
async def test_a_session_file_without_sense_is_left(
    server: DiscordServer, sink: RecordingSink, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "session.json"
    file.write_text(content)
    async with running(server.adapter(session_file=str(file)), sink):
        await until(lambda: '"session-0"' in file.read_text())
    server.gateway.sessions.clear()  # and one that Discord has forgotten does no harm either
    async with running(server.adapter(session_file=str(file)), sink):
        assert server.gateway.num_identified == 2


async def test_what_is_older_than_asked_for_is_left(server: DiscordServer, sink: RecordingSink) -> None:
    async with running(server.adapter(), sink):
        await server.say("one")
        await sink.wait_for(lambda seen: seen.said() == ["one"])
    await server.say("two")
    async with running(server.adapter(catch_up_hours=0), sink):
        await server.say("three")
        await sink.wait_for(lambda seen: "three" in seen.said())
    assert sink.said() == ["one", "three"]


async def test_a_server_that_knows_less_than_discord_will_do(
    server: DiscordServer, sink: RecordingSink
) -> None:
    server.world.counts = True
    server.broken_path, server.broken_status = f"/api/channels/{DIRECT}", 404
    async with running(server.adapter(), sink):
        await server.say("one")
        await sink.wait_for(lambda seen: seen.said() == ["one"])
    await server.say("two")
    async with running(server.adapter(), sink) as adapter:
        await sink.wait_for(lambda seen: seen.said() == ["one", "two"])
        talk = await server.command("help")
        await sink.wait_for(lambda seen: isinstance(seen.events[-1], Command))
        origin = sink.events[-1].origin
        await adapter.send(Outgoing("three", chat=origin.chat, answer_by=origin.answer_by))
    assert all(event.origin.is_private for event in sink.events)
    assert origin.when > datetime(2020, 1, 1, tzinfo=UTC)
    assert talk.answer is not None
    assert talk.answer["content"] == "three"


async def break_off(server: DiscordServer) -> None:
    server.gateway.abort()


async def close_with_4009(server: DiscordServer) -> None:
    server.gateway.close_all(4009)


async def garbage(server: DiscordServer) -> None:
    for line in server.gateway.lines:
        await line.socket.send_bytes(b"no zlib\x00\x00\xff\xff")


@pytest.mark.parametrize(
    "end",
    [
        break_off,
        close_with_4009,
        garbage,
        lambda server: server.gateway.ask_to_reconnect(),
        lambda server: server.gateway.invalidate(is_resumable=True),
    ],
)
async def test_a_session_goes_on_where_it_broke_off(
    server: DiscordServer, sink: RecordingSink, end: Callable[[DiscordServer], asyncio.Future[None]]
) -> None:
    async with running(server.adapter(), sink):
        await end(server)
        await sink.wait_for(lambda seen: seen.healths[-1].state == "degraded")
        await server.say("somebody new, in no history that is looked into")
        await sink.wait_for(lambda seen: len(seen.said()) == 1)
    assert (server.gateway.num_identified, server.gateway.num_resumed) == (1, 1)


async def test_a_history_that_cannot_be_read_now_stops_nobody(
    server: DiscordServer, sink: RecordingSink
) -> None:
    async with running(server.adapter(), sink):
        await server.say("one")
        await sink.wait_for(lambda seen: seen.said() == ["one"])
    await server.say("two")
    server.broken_path = f"/api/channels/{DIRECT}/messages"
    async with running(server.adapter(), sink):
        await server.command("help")
        await sink.wait_for(lambda seen: any(isinstance(one, Command) for one in seen.events))
        await server.say("three")  # waits for "two"
        await server.say("<@1000> hello", PUBLIC, mentions=[BOT])
        await sink.wait_for(lambda seen: seen.said() == ["one", "hello"])
        server.broken_path = ""
        await sink.wait_for(lambda seen: seen.said() == ["one", "hello", "two", "three"])


async def test_a_very_long_absence_is_read_to_its_end(
    server: DiscordServer, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_PAGES", 1)
    async with running(server.adapter(), sink):
        await server.say("one")
        await sink.wait_for(lambda seen: seen.said() == ["one"])
    for number in range(history.PAGE_LEN):
        await server.say(f"missed {number}")
    server.gateway.sessions[-1].is_valid = False
    await server.say("are you there?")
    async with running(server.adapter(), sink):
        await sink.wait_for(lambda seen: len(seen.said()) == history.PAGE_LEN + 2)
    assert sink.said()[-1] == "are you there?"


async def test_what_does_not_fit_into_memory_comes_from_the_history(
    server: DiscordServer, sink: RecordingSink
) -> None:
    said = [f"number {number}" for number in range(40)]
    async with running(DiscordAdapter(server.config(), max_waiting=3), sink):
        sink.close()
        for text in said:
            await server.say(text)
        await until(lambda: server.gateway.sessions[-1].line)
        sink.be_busy(3)
        sink.open()
        await sink.wait_for(lambda seen: len(seen.said()) >= len(said))
    assert sink.said() == said


async def test_no_heartbeat_is_missed_while_the_sink_is_slow(
    server: DiscordServer, sink: RecordingSink
) -> None:
    server.gateway.heartbeat_ms = 50
    async with running(server.adapter(), sink):
        sink.close()
        for number in range(100):
            await server.say(f"number {number}")
        [line] = server.gateway.lines
        before = line.heartbeats
        await until(lambda: line.heartbeats >= before + 10)
        sink.open()
        await sink.wait_for(lambda seen: len(seen.said()) == 100)
        assert server.gateway.lines == [line]
    assert server.gateway.num_missed == 0


async def test_a_gateway_that_falls_silent_is_left(server: DiscordServer, sink: RecordingSink) -> None:
    async with running(server.adapter(heartbeat_timeout_s=0.3), sink):
        [line] = server.gateway.lines
        line.is_silent = True
        await sink.wait_for(lambda seen: seen.healths[-1].state == "degraded")
        await until(lambda: server.gateway.num_resumed)
        await server.say("hello", author={**ANN, "id": "2001"})
        await sink.wait_for(lambda seen: seen.said() == ["hello"])
