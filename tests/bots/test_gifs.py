"""Pictures: asked for, found, and never in the way of the text."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr
from stage import Stage

from bots.gifs import Gifs
from bots.messages import Incoming
from bots.options import GifSettings

FOUND = {"data": {"images": {"original": {"url": "https://pictures.test/owl.gif"}}}}


@asynccontextmanager
async def giphy(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server that answers so; its address."""
    app = web.Application()
    app.router.add_get("/translate", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/translate"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, FOUND, "https://pictures.test/owl.gif"),
        (200, {"data": []}, ""),
        (200, {"data": {"images": {"original": {"url": "http://plain.test/owl.gif"}}}}, ""),
        (429, FOUND, ""),
    ],
)
async def test_an_answer_of_any_shape_gives_a_secure_address_or_none(
    status: int, body: Any, expected: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.query["api_key"] == "canary"
        return web.json_response(body, status=status)

    async with giphy(answer) as address:
        assert (
            await Gifs(GifSettings(api_key=SecretStr("canary"), endpoint=address)).find("an owl") == expected
        )


async def test_nobody_there_gives_none_and_tells_no_key(caplog: pytest.LogCaptureFixture) -> None:
    settings = GifSettings(api_key=SecretStr("canary"), endpoint="http://127.0.0.1:9/translate")
    assert await Gifs(settings).find("an owl") == ""
    assert await Gifs(GifSettings()).find("an owl") == ""
    assert "canary" not in caplog.text


async def test_the_text_comes_first_and_a_missing_picture_stops_nothing(tmp_path: Path) -> None:
    numbers = iter(range(9))

    async def answer(request: web.Request) -> web.Response:
        assert request.query["s"] == "re: hello"
        return web.json_response(FOUND if next(numbers) == 0 else {})

    async with giphy(answer) as address:
        stage = Stage(tmp_path, settings={"gifs": {"api_key": SecretStr("canary"), "endpoint": address}})
        async with stage.running():
            for _ in range(2):
                await stage.put(Incoming("hello @gif", stage.origin()))
            await stage.put(Incoming("bye", stage.origin()))
            assert await stage.answers(4) == ["re: hello", "", "re: hello", "re: bye"]
    assert stage.sent[1].media_url == "https://pictures.test/owl.gif"
