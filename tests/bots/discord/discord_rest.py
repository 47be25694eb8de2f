"""The REST side: messages with nonces, interactions with their 3 seconds, and every way to say no."""

import json
import time
from datetime import UTC, datetime

from aiohttp import web
from discord_world import ANN, APPLICATION, BOT, GUILD, MEMBER, TOKEN, Json, Talk, World

ACK_WITHIN_S = 3.0
LOADING = 128
EPHEMERAL = 64


def refusal(status: int, code: int = 0, **more: object) -> web.Response:
    return web.json_response({"message": "no", "code": code, **more}, status=status)


class RestServer:
    """Handlers by route; `routes` goes into an application."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[web.RouteDef]:
        message = "/api/channels/{channel}/messages/{message}"
        original = "/api/webhooks/{application}/{token}/messages/@original"
        commands = ("/api/applications/{app}/commands", "/api/applications/{app}/guilds/{guild}/commands")
        return [
            web.get("/api/users/@me", self._me),
            web.get("/api/oauth2/applications/@me", self._application),
            web.get("/api/gateway/bot", self._gateway),
            web.get("/api/users/@me/guilds", self._guilds),
            web.get("/api/guilds/{guild}/members/{user}", self._member),
            web.get("/api/channels/{channel}", self._channel),
            web.get("/api/channels/{channel}/messages", self._history),
            web.post("/api/channels/{channel}/messages", self._post),
            web.get(message, self._message),
            web.patch(message, self._edit),
            web.delete(message, self._delete),
            web.put(message + "/reactions/{emoji}/@me", self._react),
            web.delete(message + "/reactions/{emoji}/@me", self._react),
            web.post("/api/channels/{channel}/typing", self._typing),
            web.post("/api/interactions/{id}/{token}/callback", self._callback),
            web.get(original, self._answer),
            web.patch(original, self._answer),
            web.delete(original, self._answer),
            web.post("/api/webhooks/{application}/{token}", self._follow_up),
            *(web.get(path, self._commands) for path in commands),
            *(web.put(path, self._commands) for path in commands),
        ]

    async def _me(self, request: web.Request) -> web.Response:
        return web.json_response(BOT)

    async def _gateway(self, request: web.Request) -> web.Response:
        return web.json_response({"session_start_limit": {"remaining": self.world.num_starts}})

    async def _application(self, request: web.Request) -> web.Response:
        url = {"interactions_endpoint_url": self.world.interactions_url}
        return web.json_response({"id": APPLICATION, "flags": self.world.flags, **url})

    async def _guilds(self, request: web.Request) -> web.Response:
        return web.json_response([{"id": GUILD, "name": "Guild", "permissions": str(self.world.permissions)}])

    async def _member(self, request: web.Request) -> web.Response:
        is_ann = request.match_info["user"] == ANN["id"]
        return web.json_response({"user": ANN, **MEMBER}) if is_ann else refusal(404, 10007)

    async def _channel(self, request: web.Request) -> web.Response:
        channel = self.world.channels.get(request.match_info["channel"])
        return web.json_response(channel) if channel else refusal(404, 10003)

    async def _history(self, request: web.Request) -> web.Response:
        channel = request.match_info["channel"]
        if channel not in self.world.channels:
            return refusal(404, 10003)
        after = int(request.query.get("after", 0))
        found = [one for one in self.world.messages.get(channel, []) if int(one["id"]) > after]
        return web.json_response(found[: int(request.query.get("limit", 50))][::-1])

    async def _post(self, request: web.Request) -> web.Response:
        channel, body = request.match_info["channel"], await self._body(request)
        if channel not in self.world.channels:
            return refusal(404, 10003)
        if not body.get("content") and not body.get("embeds") and not body.get("attachments"):
            return refusal(400, 50006)
        if len(body.get("content") or "") > 2000:
            return refusal(400, 50035)
        known = self.world.nonces.get((channel, str(body.get("nonce"))))
        if known and body.get("enforce_nonce"):
            return web.json_response(known)
        made = self.world.message(channel, BOT, body.get("content") or "", sent=body)
        if body.get("nonce"):
            self.world.nonces[channel, str(body["nonce"])] = made
        return web.json_response(made)

    async def _message(self, request: web.Request) -> web.Response:
        found = self._found(request)
        return web.json_response(found) if found else refusal(404, 10008)

    async def _edit(self, request: web.Request) -> web.Response:
        found, body = self._found(request), await self._body(request)
        if not found:
            return refusal(404, 10008)
        found.update(content=body["content"], edited_timestamp=datetime.now(UTC).isoformat())
        return web.json_response(found)

    async def _delete(self, request: web.Request) -> web.Response:
        found = self._found(request)
        if not found:
            return refusal(404, 10008)
        self.world.messages[found["channel_id"]].remove(found)
        return web.Response(status=204)

    async def _react(self, request: web.Request) -> web.Response:
        found, emoji = self._found(request), request.match_info["emoji"]
        if not found:
            return refusal(404, 10008)
        kept = [one for one in found.get("reactions", []) if one["emoji"]["name"] != emoji]
        added = [{"me": True, "emoji": {"id": None, "name": emoji}}] if request.method == "PUT" else []
        found["reactions"] = kept + added
        return web.Response(status=204)

    async def _typing(self, request: web.Request) -> web.Response:
        self.world.typed.append(request.match_info["channel"])
        return web.Response(status=204)

    async def _callback(self, request: web.Request) -> web.Response:
        talk = self.world.talks.get(request.match_info["id"])
        if talk is None or talk.token != request.match_info["token"]:
            return refusal(404, 10062)
        if talk.acknowledged is not None:
            return refusal(400, 40060)
        if time.monotonic() - talk.created > ACK_WITHIN_S:
            return refusal(404, 10062)
        talk.acknowledged = await self._body(request)
        if talk.acknowledged["type"] == 5:
            talk.answer = self.world.message(talk.channel, BOT, "", flags=LOADING)
        return web.Response(status=204)

    async def _answer(self, request: web.Request) -> web.Response:
        talk = self._talk(request)
        if talk is None:
            return refusal(401, 50027)
        if talk.answer is None:
            return refusal(404, 10008)
        if request.method == "DELETE":
            self.world.messages[talk.channel].remove(talk.answer)
            talk.answer = None
            return web.Response(status=204)
        if request.method == "PATCH":
            body = await self._body(request)
            talk.answer.update(content=body["content"], flags=0, sent=body)
        return web.json_response(talk.answer)

    async def _follow_up(self, request: web.Request) -> web.Response:
        talk = self._talk(request)
        if talk is None:
            return refusal(401, 50027)
        if talk.acknowledged is None:
            return refusal(404, 10015)
        body = await self._body(request)
        if body.get("flags") == EPHEMERAL:
            self.world.whispered.append(body["content"])
            return web.json_response({"id": self.world.new_id(), "channel_id": talk.channel})
        return web.json_response(self.world.message(talk.channel, BOT, body["content"], sent=body))

    async def _commands(self, request: web.Request) -> web.Response:
        guild = request.match_info.get("guild", "")
        if request.method == "PUT":
            self.world.commands[guild] = await request.json()
        shown = [{**one, "id": "1", "version": "1"} for one in self.world.commands.get(guild, [])]
        return web.json_response(shown)

    async def _body(self, request: web.Request) -> Json:
        if request.content_type != "multipart/form-data":
            return await request.json()
        form = await request.post()
        for part in form.values():
            if isinstance(part, web.FileField):
                self.world.files.append((part.filename, part.file.read().decode()))
        return json.loads(str(form["payload_json"]))

    def _found(self, request: web.Request) -> Json | None:
        return self.world.find(request.match_info["channel"], request.match_info["message"])

    def _talk(self, request: web.Request) -> Talk | None:
        token = request.match_info["token"]
        return next((one for one in self.world.talks.values() if one.token == token), None)


def is_allowed(request: web.Request) -> bool:
    """The bot's token, or an interaction's in the address."""
    is_open = request.path.startswith(("/api/interactions/", "/api/webhooks/", "/gateway"))
    return is_open or request.headers.get("Authorization") == f"Bot {TOKEN}"
