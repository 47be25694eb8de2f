"""What the composition root shows while it works."""

import asyncio
import io
import signal
import sys
import threading
from pathlib import Path

import pytest

from bots import app
from brain.errors import CheckpointError
from brain.testing import tiny_encoder, tiny_gpt2


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self) -> bool:
        return True


async def nothing(house: app.House) -> None:
    raise AssertionError("there is no model to work with")


def test_the_path_of_a_model_is_never_taken_for_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(CheckpointError):
        app.work(None, {"brain.model": str(tmp_path / "[/b]")}, nothing)


def test_a_line_on_stdout_steers_no_terminal(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    app.write_line("one: a\x1b[2J\u202e\nb")
    assert capsysbinary.readouterr().out == b"one: a[2J b\n"


def test_a_signal_that_another_thread_takes_wakes_the_loop(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    tiny_gpt2(encoder).save_pretrained(tmp_path)
    encoder.save(tmp_path / "tokenizer.json")
    waited = []

    async def wait(house: app.House) -> None:
        loop = asyncio.get_running_loop()
        interrupt = threading.Timer(
            0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        )  # the loop's own wait is not interrupted by it
        interrupt.start()
        start = loop.time()
        try:
            await asyncio.sleep(60)
        finally:
            waited.append(loop.time() - start)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    try:
        with pytest.raises(KeyboardInterrupt):
            app.work(None, {"brain.model": str(tmp_path)}, wait)
    finally:
        signal.signal(signal.SIGINT, before)
    assert waited[0] < 50
