"""What the kit asks of a scripted platform: the server of a test, seen from its people."""

from collections.abc import Sequence
from typing import Literal, Protocol

from bots.messages import ChatKey

# What the platform does to every request of the bot until told otherwise.
Fault = Literal[
    "unauthorized",  # 401
    "conflict",  # 409: somebody else receives
    "rate_limited",  # 429 with a pause of a second or less
    "gone",  # 403: the chat blocked the bot; only sends fail
    "server_error",  # 500
    "silent",  # no answer at all: time-out
    "garbled",  # an answer that is not what the protocol says
    "down",  # connections are refused
]


class Platform(Protocol):
    """A server that the adapter under test is connected to, and one person on it in one chat."""

    @property
    def chat(self) -> ChatKey:
        """Where the person writes, a private chat, as the adapter names it."""

    @property
    def keeps_unheard(self) -> bool:
        """Whether what is said while the bot is away can be heard later, as on all but a console."""

    async def say(self, text: str) -> None:
        """The person writes; a platform that keeps messages does so until the bot acknowledges them."""

    def texts(self) -> Sequence[str]:
        """All the person can see from the bot, oldest first."""

    def num_acknowledged(self) -> int | None:
        """How many of the messages said will not be told again; None if the platform has no such thing."""

    def set_fault(self, fault: Fault | None) -> bool:
        """Misbehave so from now on, None = no longer; False if this platform cannot."""
