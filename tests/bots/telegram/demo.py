"""`make demo-telegram`: the real bot on the Bot API server of the tests, killed in between, no token."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.bots.telegram.people import ANN, GROUP, People, mention
from tests.bots.telegram.server import BotApiServer

COMMAND = (sys.executable, "-m", "bots", "run", "--only", "telegram")
START_S, REPLY_S, STOP_S = 120.0, 60.0, 15.0
NOTED_S = 1.0  # killed between Telegram's taking a message and the note of it, the bot would repeat that one
ME = "@banter_test_bot"


class Demo:
    """A talk, shown line by line as it happens."""

    def __init__(self, server: BotApiServer, command: Sequence[str], folder: str) -> None:
        self._server, self._people = server, People(server)
        self._command, self._folder = command, folder
        self._shown: set[int] = set()

    @asynccontextmanager
    async def bot(self, ending: signal.Signals) -> AsyncIterator[None]:
        """`banter run` in a process of its own, ended so."""
        polls = len(self._server.called("getUpdates"))
        process = await asyncio.create_subprocess_exec(
            *self._command, cwd=self._folder, env=self._environment(), stdin=asyncio.subprocess.DEVNULL
        )
        try:
            await self._wait(lambda: len(self._server.called("getUpdates")) > polls, process, START_S)
            yield
        finally:
            if process.returncode is None:
                process.send_signal(ending)
                try:
                    await asyncio.wait_for(process.wait(), STOP_S)
                except TimeoutError:
                    process.kill()
                    raise SystemExit(f"demo: the bot did not end within {STOP_S:g} s") from None

    async def says(self, text: str, chat: int = int(ANN["id"]), **more: Any) -> None:
        """Ann writes."""
        where = " (in a group)" if chat < 0 else ""
        print(f"Ann{where}: {text}", flush=True)
        await self._people.say(text, chat, **more)

    async def answered(self, num_more: int = 1) -> None:
        """Show what the bot sends until so many messages more were shown."""
        wanted = len(self._shown) + num_more
        await self._wait(lambda: len(self._server.sent) >= wanted, None, REPLY_S)
        for number in sorted(self._server.sent.keys() - self._shown):
            self._shown.add(number)
            print(f"  Banter: {self._server.sent[number]['text']}", flush=True)

    async def _wait(self, is_so: Any, process: Any, limit_s: float) -> None:
        await self._server.wait_for(
            lambda _: is_so() or (process is not None and process.returncode is not None), limit_s
        )
        if not is_so():
            raise SystemExit("demo: the bot ended before it was connected")

    def _environment(self) -> dict[str, str]:
        ours = {"ENABLED": "true", "TOKEN": self._server.token, "BASE_URL": self._server.url}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BANTER_")}
        return kept | {f"BANTER_TELEGRAM__{key}": value for key, value in ours.items()}


async def main(command: Sequence[str] = COMMAND) -> None:
    """Talk, kill, talk on."""
    server = BotApiServer()
    await server.start()
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(server, command, folder)
        try:
            async with demo.bot(signal.SIGKILL):
                for text in ("Hello! How are you?", "What kind of music do you like?", "/help"):
                    await demo.says(text)
                    await demo.answered()
                await asyncio.sleep(NOTED_S)
            print("... the bot was killed (SIGKILL) ...")
            await demo.says("Are you still there?")
            asked = f"{ME} do you like winter?"
            await demo.says(asked, GROUP, entities=[mention(asked, ME)])
            print("... and is started again ...")
            async with demo.bot(signal.SIGTERM):
                await demo.answered(2)
        finally:
            await server.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or COMMAND))
