"""What the doctor sees, each with what to do about it."""

from discord_server import DiscordServer


async def seen(server: DiscordServer, level: str) -> list[tuple[str, str]]:
    found = await server.adapter().check()
    return [(one.what, one.fix) for one in found if one.level == level]


async def test_all_is_well(server: DiscordServer) -> None:
    assert await seen(server, "problem") + await seen(server, "warning") == []
    assert ("Discord knows the bot as banter", "") in await seen(server, "ok")
    assert not [call for call in server.world.calls if not call.startswith("GET")]


async def test_a_refused_token(server: DiscordServer) -> None:
    server.set_fault("unauthorized")
    [(what, fix)] = await seen(server, "problem")
    assert what == "Discord refuses the token"
    assert "BANTER_DISCORD__TOKEN" in fix


async def test_no_network(server: DiscordServer) -> None:
    await server.stop()
    [(what, _)] = await seen(server, "problem")
    assert "cannot be reached" in what


async def test_a_missing_intent(server: DiscordServer) -> None:
    server.world.flags = 0
    [(what, fix)] = await seen(server, "problem")
    assert what == "The message content intent is off"
    assert fix.startswith("Switch it on in the Developer Portal under Bot, Privileged Gateway Intents")
    assert await server.adapter(message_content=False).check()


async def test_missing_permissions(server: DiscordServer) -> None:
    server.world.permissions = (1 << 10) | (1 << 11) | (1 << 38) | (1 << 14) | (1 << 15)
    [(what, fix)] = await seen(server, "warning")
    assert what == "In Guild the bot lacks: Read Message History, Add Reactions"
    assert "client_id=1001&scope=bot%20applications.commands&permissions=274878024768" in fix


async def test_few_connections_left(server: DiscordServer) -> None:
    server.world.num_starts = 3
    assert await seen(server, "warning") == [
        ("Only 3 connections are left for today", "Find out what restarts the bot")
    ]


async def test_commands_that_go_elsewhere(server: DiscordServer) -> None:
    server.world.interactions_url = "https://example.org"
    [(what, _)] = await seen(server, "problem")
    assert what.startswith("Slash commands go to an Interactions Endpoint URL")
