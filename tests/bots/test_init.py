"""`banter init` as a newcomer meets it: on a terminal, and then the bot runs."""

import asyncio
import os
import select
import stat
import sys
import time
from pathlib import Path

import pytest

from tests.bots.telegram.people import message_of
from tests.bots.telegram.server import BotApiServer

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals")
TOKEN = "110201543:AAHcanaryCANARYcanaryCANARYcanary00"
TIMEOUT_S = 60.0


def at_terminal(folder: Path, environment: dict[str, str], *args: str, answers: list[str]) -> tuple[str, int]:
    """Run the command on a terminal of its own and type an answer at each question; what stood there."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(sys.executable, [sys.executable, "-m", "bots", *args], environment)
    shown, left, end = b"", list(answers), time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.3)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # it has ended
                break
        elif left and shown.rstrip(b" ").endswith(b":"):
            os.write(terminal, left.pop(0).encode() + b"\r")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(status)


def test_what_a_newcomer_sees(tmp_path: Path, environment: dict[str, str]) -> None:
    answers = ["telegram", "lighthouse", "not a token", TOKEN]
    shown, code = at_terminal(tmp_path, environment, "init", answers=answers)
    assert code == 0
    hint = "telegram token (123456789:AAH and 32 more letters, as @BotFather shows it): \n"
    assert shown == (
        "Platforms, one or more of: console, discord, telegram [console]: telegram\n"
        "Who speaks, one of: banter, brisk, lighthouse [banter]: lighthouse\n"
        f"{hint}that does not look like one, copy it again; {hint}"
        "wrote config.toml\n"
        "wrote BANTER_TELEGRAM__TOKEN to .env, which only you can read\n"
        "next: banter doctor, then banter run\n"
    )
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert TOKEN not in (tmp_path / "config.toml").read_text()
    shown, code = at_terminal(tmp_path, environment, "init", answers=[])
    assert (shown, code) == (
        "banter: config.toml exists; move it away, or use --force to replace it\n",
        2,
    )
    shown, code = at_terminal(tmp_path, environment, "init", "--force", answers=["console", ""])
    assert code == 0
    assert 'persona = "banter"' in (tmp_path / "config.toml").read_text()


async def test_with_what_init_has_written_the_bot_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    typed = {"answers": ["telegram", "lighthouse", TOKEN]}
    _, code = await asyncio.to_thread(at_terminal, tmp_path, environment, "init", **typed)
    assert code == 0
    server = BotApiServer(token=TOKEN)
    await server.start()
    try:
        variables = environment | {"BANTER_TELEGRAM__BASE_URL": server.url}
        bot = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bots", "run", cwd=tmp_path, env=variables, stderr=asyncio.subprocess.PIPE
        )
        person = {"id": 7, "is_bot": False, "first_name": "Ann"}
        server.update(message=message_of(server.message_id(), "Hello there", 7, person))
        for _ in range(int(TIMEOUT_S / 0.1)):
            if server.sent or bot.returncode is not None:
                break
            await asyncio.sleep(0.1)
        if bot.returncode is None:
            bot.terminate()
        _, told = await asyncio.wait_for(bot.communicate(), 10)
    finally:
        await server.stop()
    assert bot.returncode == 0, told.decode()
    [answer] = server.sent.values()
    assert answer["text"]
    assert TOKEN.encode() not in told
