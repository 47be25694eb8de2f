"""Lines of a pipe: complete, bounded, in order."""

import os
from pathlib import Path

import pytest

from bots.feed import Line, lines, split


def opened(path: Path, content: bytes) -> int:
    path.write_bytes(content)
    return os.open(path, os.O_RDONLY)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"one\ntwo\n", [Line(b"one"), Line(b"two")]),
        (b"one\ntwo", [Line(b"one"), Line(b"two")]),
        (b"\n\n", [Line(b""), Line(b"")]),
        (b"one\r\n", [Line(b"one")]),
        (b"123456789\nab\n", [Line(b"12345", is_cut=True), Line(b"ab")]),
        (b"12345\n12345", [Line(b"12345"), Line(b"12345")]),
    ],
)
async def test_lines_are_cut_at_newlines_and_at_the_limit(
    content: bytes, expected: list[Line], tmp_path: Path
) -> None:
    fd = opened(tmp_path / "input", content)
    try:
        assert [line async for line in lines(fd, max_bytes=5)] == expected
    finally:
        os.close(fd)


def test_a_line_without_end_is_not_kept_in_memory(tmp_path: Path) -> None:
    fd = opened(tmp_path / "input", b"x" * 1_000_000 + b"\nshort\n")
    try:
        long, short = split(fd, max_bytes=1000)
    finally:
        os.close(fd)
    assert long == Line(b"x" * 1000, is_cut=True)
    assert short == Line(b"short")
