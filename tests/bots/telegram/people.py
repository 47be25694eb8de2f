"""People on the test server, and the server as the conformance kit wants to see it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from bots.messages import ChatKey
from bots.testing import Fault
from tests.bots.telegram.server import BotApiServer, Params

ANN: Params = {"id": 7, "is_bot": False, "first_name": "Ann", "last_name": "Lee"}
GROUP = -1001


class People:
    """What people do, as updates; by default Ann in her private chat, whose id is hers."""

    keeps_unheard = True

    def __init__(self, server: BotApiServer) -> None:
        self.server = server
        self._restarting: asyncio.Task[None] | None = None

    @property
    def chat(self) -> ChatKey:
        """Ann's private chat."""
        return ChatKey("telegram", str(self.server.me["id"]), str(ANN["id"]))

    async def say(self, text: str, chat: int = 7, user: Params = ANN, **more: Any) -> int:
        """Somebody writes; the message's id."""
        await self._settled()
        message = message_of(self.server.message_id(), text, chat, user, **more)
        self.server.update(message=message)
        return int(message["message_id"])

    def texts(self) -> Sequence[str]:
        """What Ann sees."""
        seen = (self.server.sent[number] for number in sorted(self.server.sent))
        return [sent["text"] for sent in seen if str(sent["chat_id"]) == self.chat.chat]

    def num_acknowledged(self) -> int | None:
        """Updates that will not be told again."""
        return self.server.num_confirmed

    def set_fault(self, fault: Fault | None) -> bool:
        """As the kit asks; connections are refused from the next moment on."""
        before, self.server.fault = self.server.fault, fault
        self.server.wake()
        if "down" in (before, fault):
            work = self.server.stop() if fault == "down" else self.server.start()
            self._restarting = asyncio.ensure_future(self._after(self._restarting, work))
        return True

    async def _after(self, earlier: "asyncio.Task[None] | None", work: Any) -> None:
        if earlier is not None:
            await earlier
        await work

    async def _settled(self) -> None:
        if self._restarting is not None:
            await self._restarting


def message_of(number: int, text: str, chat: int = 7, user: Params = ANN, **more: Any) -> Params:
    """A Message; groups have negative ids."""
    kind = "private" if chat > 0 else "supergroup"
    return {
        "message_id": number,
        "date": int(time.time()),
        "chat": {"id": chat, "type": kind},
        "from": user,
        "text": text,
        **more,
    }


def mention(text: str, name: str) -> Params:
    """The entity of the first @name in a text."""
    before = text[: text.index(name)]
    return {
        "type": "mention",
        "offset": len(before.encode("utf-16-le")) // 2,
        "length": len(name.encode("utf-16-le")) // 2,
    }
