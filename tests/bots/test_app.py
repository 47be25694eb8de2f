"""What the composition root shows while it works."""

import io
import sys
from pathlib import Path

import pytest

from bots import app
from brain.errors import CheckpointError


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
