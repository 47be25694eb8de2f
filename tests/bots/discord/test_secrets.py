"""Tokens of interactions stay out of logs, as the bot's own does (the kit looks for that one)."""

import logging

import pytest
from discord_server import TOKEN, DiscordServer, running

from bots.errors import AdapterError
from bots.messages import Command, Outgoing
from bots.testing import Fault, RecordingSink

FAULTS: list[Fault | None] = [None, "rate_limited", "server_error", "silent", "garbled", "down"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_log_and_no_error_shows_a_token(
    server: DiscordServer, sink: RecordingSink, caplog: pytest.LogCaptureFixture, fault: Fault | None
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    async with running(server.adapter(timeout_s=0.2), sink) as adapter:
        talk = await server.command("help")
        await sink.wait_for(lambda seen: bool(seen.events))
        [command] = sink.events
        assert isinstance(command, Command)
        server.set_fault(fault)
        answer = Outgoing("hello", chat=server.chat, answer_by=command.origin.answer_by)
        try:
            await adapter.send(answer)
        except AdapterError as error:
            shown.append(repr(error))
        await server.press("7", "unknown button")
        shown += [repr(command), repr(answer), caplog.text, *(health.reason for health in sink.healths)]
    for text in shown:
        assert talk.token not in text
        assert TOKEN not in text
