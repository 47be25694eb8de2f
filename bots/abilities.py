"""What an adapter may do beyond `run` and `send`: one Protocol for each flag of `Caps` that is a method.

The core narrows with isinstance; the conformance kit holds flags and methods to each other.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from bots.messages import Adapter, ChatKey, Finding, MessageRef, Usage


@runtime_checkable
class Edits(Protocol):
    """Caps.edit."""

    async def edit(self, ref: MessageRef, text: str) -> None:
        """Replace the text of one of the bot's messages; fails as `send` does."""


@runtime_checkable
class Deletes(Protocol):
    """Caps.delete."""

    async def delete(self, ref: MessageRef) -> None:
        """Take away one of the bot's messages; nothing happens when it is gone already."""


@runtime_checkable
class Reacts(Protocol):
    """Caps.react."""

    async def react(self, ref: MessageRef, emoji: str) -> None:
        """Put an emoji on a message; an empty one takes the bot's own away."""


@runtime_checkable
class ShowsTyping(Protocol):
    """Caps.typing."""

    async def typing(self, chat: ChatKey) -> None:
        """Show for limits.typing_s that the bot is typing; the core repeats it and ignores failures."""


@runtime_checkable
class PublishesCommands(Protocol):
    """Caps.publish_commands."""

    async def publish_commands(self, usages: Sequence[Usage]) -> None:
        """Called before `run`: keep them, and publish on connecting if the platform knows others."""


@runtime_checkable
class Checks(Protocol):
    """Caps.check."""

    async def check(self) -> Sequence[Finding]:
        """For the doctor: look at token, rights and reachability, without `run` and without side effects."""


ABILITIES: Mapping[str, type] = {
    "edit": Edits,
    "delete": Deletes,
    "react": Reacts,
    "typing": ShowsTyping,
    "publish_commands": PublishesCommands,
    "check": Checks,
}


def missing_or_idle(adapter: Adapter) -> list[str]:
    """Flags of `Caps` that say other than the adapter's methods."""
    return [
        name for name, kind in ABILITIES.items() if getattr(adapter.caps, name) != isinstance(adapter, kind)
    ]
