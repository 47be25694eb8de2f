"""Killed at random moments, the bot answers everything, in order, once."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from killing import CONFIG, FAKE, Plan, connected, install, killed_again_and_again, started
from wire import WireServer

HARNESS = Path(__file__).parent / "harness"
SHUTDOWN_S = 8.0


def prepared(folder: Path, port: int) -> dict[str, str]:
    """A folder with the settings of a bot on the wire; the variables it needs."""
    install(folder / "site", "banter-wire", "fake = wire:WireAdapter")
    (folder / "config.toml").write_text(CONFIG + FAKE.format(port=port))
    return {"BANTER_FAKE__TOKEN": "token-of-the-wire", "PYTHONPATH": f"{folder / 'site'}:{HARNESS}"}


def answered(server: WireServer, text: str) -> bool:
    return f"re: {text}" in server.heard(1)


async def until(is_so: Callable[[], bool], timeout_s: float = 30.0) -> None:
    for _ in range(int(timeout_s / 0.05)):
        if is_so():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never was so")


async def test_every_message_is_answered_once_and_in_order_whenever_the_process_is_killed(
    tmp_path: Path,
) -> None:
    async with WireServer().serving() as server:
        variables = prepared(tmp_path, server.port)
        tally = await killed_again_and_again(server, tmp_path, Plan(10, 60, 5), variables)
    print(tally)
    assert (tally.missing, tally.repeated, tally.disordered) == ([], [], [])
    assert tally.num_kills == 5
    kept = b"".join(file.read_bytes() for file in (tmp_path / ".banter").iterdir())
    assert b"token-of-the-wire" not in kept
    assert "token-of-the-wire" not in tally.log
    assert "chat 1 line" not in tally.log  # what people write is not logged


async def test_a_platform_that_is_down_at_the_start_and_goes_away_again_is_waited_for(tmp_path: Path) -> None:
    server = WireServer()
    async with server.serving():
        pass  # now the port is known and nobody answers there
    bot = await started(tmp_path, 0.0, prepared(tmp_path, server.port))
    log = tmp_path / "child.log"
    try:
        await until(lambda: "is degraded" in log.read_text())
        for text in ("one", "two"):
            async with server.serving():
                await server.say(1, text)
                await until(partial(answered, server, text))
        bot.terminate()
        assert await asyncio.wait_for(bot.wait(), SHUTDOWN_S) == 0
    finally:
        if bot.returncode is None:
            bot.kill()
    assert server.heard(1) == ["re: one", "re: two"]


async def test_asked_to_stop_it_finishes_what_it_began_and_keeps_the_rest(tmp_path: Path) -> None:
    async with WireServer().serving() as server:
        variables = prepared(tmp_path, server.port)
        for text in ("now", "later"):
            await server.say(1, text)
        for place, expected in enumerate((["re: now"], ["re: now", "re: later"])):
            bot = await started(tmp_path, 1.0, variables)
            await connected(tmp_path, place + 1, 20.0)
            await asyncio.sleep(0.5)  # it thinks about the first that waits
            bot.terminate()
            assert await asyncio.wait_for(bot.wait(), SHUTDOWN_S) == 0
            assert server.heard(1) == expected


async def test_a_second_interrupt_ends_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    async with WireServer().serving() as server:
        variables = prepared(tmp_path, server.port)
        await server.say(1, "hello")
        bot = await started(tmp_path, 30.0, variables)
        await connected(tmp_path, 1, 20.0)
        await asyncio.sleep(0.5)  # it thinks
        bot.send_signal(signal.SIGINT)
        await asyncio.sleep(0.8)  # a first one drains; one that comes much sooner counts as the same
        assert bot.returncode is None
        bot.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(bot.wait(), 1.0) == 130
        bot = await started(tmp_path, 0.0, variables)
        await until(partial(answered, server, "hello"))
        bot.terminate()
        assert await asyncio.wait_for(bot.wait(), SHUTDOWN_S) == 0
