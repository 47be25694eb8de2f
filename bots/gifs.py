"""A picture for some words, from GIPHY; whatever goes wrong there, the talk goes on without one."""

import json
import logging
from collections.abc import AsyncIterable
from urllib.parse import urlsplit

from bots.options import GifSettings

_MAX_BYTES = 1 << 20
_log = logging.getLogger(__name__)


class Gifs:
    """Asks GIPHY's translate endpoint; the key stands in the address, so no address is ever logged."""

    def __init__(self, settings: GifSettings) -> None:
        self._settings = settings

    async def find(self, words: str) -> str:
        """The https address of a picture; empty when there is none, or none in time."""
        import aiohttp  # 0.2 s that only this needs

        if self._settings.api_key is None:
            return ""
        asked = {"api_key": self._settings.api_key.get_secret_value(), "s": words[:50]}
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self._settings.endpoint, params=asked) as response,
            ):
                if response.status != 200:
                    _log.warning("no picture: GIPHY answered %d", response.status)
                    return ""
                return _address(json.loads(await _body(response.content)))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            _log.warning("no picture: %s", type(error).__name__)
            return ""


async def _body(stream: AsyncIterable[bytes]) -> bytes:
    """All of it, as far as it has a sane length."""
    body = b""
    async for chunk in stream:
        body += chunk
        if len(body) > _MAX_BYTES:
            raise ValueError("too long")
    return body


def _address(found: object) -> str:
    """The picture's address in an answer of whatever shape."""
    for key in ("data", "images", "original", "url"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) and urlsplit(found).scheme == "https" else ""
