"""A chat through a pipe: exactly one line out for each line in."""

from collections.abc import AsyncIterator

import pytest

from bots.console import plain
from bots.feed import Line


async def test_each_line_gets_one_line() -> None:
    heard: list[str] = []
    out: list[str] = []

    async def say(text: str) -> str:
        heard.append(text)
        return f"you said\n{text}"

    async def received() -> AsyncIterator[Line]:
        for content in (b"hello", b"", b"\xff\xfe", b"/help"):
            yield Line(content)

    await plain.run(received(), say, out.append)
    assert heard == ["hello", "", "\ufffd\ufffd", "/help"]
    assert out == ["you said hello", "you said", "you said \ufffd\ufffd", "you said /help"]


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b", "a\x0bb", " a \t b "])
def test_a_reply_is_one_line(text: str) -> None:
    assert plain.one_line(text) == "a b"


def test_control_characters_go_and_emoji_stay() -> None:
    assert (
        plain.one_line("\x1b[31mred\x00 \U0001f469\u200d\U0001f680") == "[31mred \U0001f469\u200d\U0001f680"
    )
