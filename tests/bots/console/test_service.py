"""The console as an adapter: the same kit as any other."""

import asyncio
import io
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from bots.console.service import ConsoleConfig, ConsoleService
from bots.errors import SendFailed
from bots.messages import LOCAL, ChatKey, Command, Outgoing
from bots.testing import Fault, RecordingSink, check_adapter


class Terminal:
    """A keyboard and a screen, and a person between them."""

    keeps_unheard = False
    chat: ChatKey = LOCAL.chat

    def __init__(self, keyboard: PipeInput) -> None:
        self.keyboard, self.screen = keyboard, io.StringIO()

    def adapter(self) -> ConsoleService:
        return ConsoleService(ConsoleConfig(), Console(file=self.screen, width=200))

    async def say(self, text: str) -> None:
        self.keyboard.send_text(f"{text}\r")

    def texts(self) -> Sequence[str]:
        return self.screen.getvalue().splitlines()

    def num_acknowledged(self) -> int | None:
        return None

    def set_fault(self, fault: Fault | None) -> bool:
        return False


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
        yield Terminal(keyboard)


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink("console")


async def test_the_console_conforms(terminal: Terminal) -> None:
    await check_adapter(terminal.adapter, terminal)


async def test_lines_are_offered_until_the_end(terminal: Terminal, sink: RecordingSink) -> None:
    terminal.keyboard.send_text("hello\r  \r/persona odile\r\x04")
    await asyncio.wait_for(terminal.adapter().run(sink), 20)
    first, second = sink.events
    assert sink.said() == ["hello"]
    assert isinstance(second, Command)
    assert (second.name, second.argument) == ("persona", "odile")
    assert first.origin.key != second.origin.key


async def test_ctrl_c_reaches_the_program(terminal: Terminal, sink: RecordingSink) -> None:
    heard = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, heard.set)
    terminal.keyboard.send_text("\x03")
    await asyncio.wait_for(terminal.adapter().run(sink), 20)
    await asyncio.wait_for(heard.wait(), 20)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


async def test_a_full_inbox_is_told(terminal: Terminal, sink: RecordingSink) -> None:
    sink.be_busy(1)
    terminal.keyboard.send_text("hello\r\x04")
    await asyncio.wait_for(terminal.adapter().run(sink), 20)
    assert terminal.texts() == ["Too much is waiting; try again."]


async def test_nothing_shown_steers_the_terminal(terminal: Terminal, sink: RecordingSink) -> None:
    service = terminal.adapter()
    running = asyncio.ensure_future(service.run(sink))
    await sink.wait_for(lambda seen: bool(seen.healths))
    await service.send(Outgoing("a\x1b[2J\u202eb", speaker="Odile"))
    assert terminal.texts() == ["Odile: a[2Jb"]
    terminal.keyboard.send_text("\x04")
    await asyncio.wait_for(running, 20)
    with pytest.raises(SendFailed, match="console: it is not running yet"):
        await terminal.adapter().send(Outgoing("too early"))


def test_through_a_pipe_nothing_is_warned_of(tmp_path: Path, environment: dict[str, str]) -> None:
    code = "import asyncio; from bots.console.service import *; from bots.testing import RecordingSink; "
    code += "asyncio.run(ConsoleService(ConsoleConfig()).run(RecordingSink('console')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=b"hello\n",
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_pipe_that_ended_gets_all_its_answers(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "config.toml").write_text("[console]\nenabled = true\n[run]\nmerge_above = 0\n")
    child = Path(__file__).parents[1] / "harness" / "child.py"
    done = subprocess.run(
        [sys.executable, str(child), "config.toml", "0.3"],
        input=b"hello\nand you?\n",
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0
    assert [line for line in done.stdout.decode().splitlines() if "re: " in line] == [
        "Banter: re: hello",
        "Banter: re: and you?",
    ]
