"""The webhook: Telegram calls us, and is answered 200 only once the sink has what it brings."""

import asyncio
import hmac
import json
import math

from aiohttp import web

from bots.errors import AdapterConflict, AdapterError, AdapterOffline, AdapterUnauthorized, Busy
from bots.telegram.client import Client
from bots.telegram.config import TelegramConfig
from bots.telegram.intake import Intake
from bots.telegram.pulse import Pulse

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
_MAX_BYTES = 4 * 2**20
_CLOSE_S = 1.0  # for deliveries that wait for their commit; the rest is delivered again


class Webhook:
    """Listens on a port of this machine, behind whatever ends TLS, and sees to it that Telegram calls."""

    def __init__(self, client: Client, intake: Intake, pulse: Pulse, config: TelegramConfig) -> None:
        """Listen and set nothing yet."""
        self._client, self._intake, self._pulse, self._config = client, intake, pulse, config
        self._secret = config.secret_token()

    async def run(self) -> None:
        """Receive; looks after the webhook again and again.

        Raises:
            AdapterUnauthorized: the token is refused.
            AdapterOffline: the port cannot be listened on.
        """
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_post(self._config.webhook_path(), self._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_S)
        await runner.setup()
        try:
            await self._listen(runner)
            await self._keep_set()
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        host, port = self._config.webhook_host, self._config.webhook_port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise AdapterOffline(
                f"telegram: cannot listen on {host}:{port}: {error.strerror}; change webhook_port"
            ) from error

    async def _keep_set(self) -> None:
        is_ours = False
        while True:
            try:
                is_ours = await self._look(is_ours)
                self._pulse.is_up()
                await asyncio.sleep(self._config.poll_timeout_s)
            except AdapterUnauthorized:
                raise
            except AdapterError as error:
                await asyncio.sleep(self._pulse.is_down(error))

    async def _look(self, is_ours: bool) -> bool:
        """Set it the first time and when nobody's is set; never fight another program for it."""
        url = self._config.webhook_url
        found = (await self._client.webhook()).url if is_ours else ""
        if found and found != url:
            raise AdapterConflict("telegram: another program has set its own webhook with the same token")
        if not found:
            await self._client.set_webhook(url, self._secret)
        return True

    async def _receive(self, request: web.Request) -> web.Response:
        given = request.headers.get(SECRET_HEADER, "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._secret.encode()):
            return web.Response(status=403)
        try:
            raw = json.loads(await request.read())
        except (ValueError, RecursionError):
            return web.Response(status=400)
        try:
            await self._intake.take([raw])
        except Busy as busy:
            wait = {"Retry-After": str(math.ceil(busy.retry_after_s))}
            return web.Response(status=503, headers=wait)
        return web.Response()
