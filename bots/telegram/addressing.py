"""Whom a text is for: the bot's own mention, its names, a command; pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bots.telegram.wire import Entity

_COMMAND = re.compile(r"\s*/([A-Za-z]\w{0,63})(?:@(\w+))?(?:\s+|\s*\Z)", re.ASCII)
_GAP = " \t,;:"  # what may stand between a name at the beginning and what is said


@dataclass(frozen=True, slots=True)
class Call:
    """A command as it was typed; `target` is the bot it names, or empty."""

    name: str
    target: str
    argument: str


@dataclass(frozen=True, slots=True)
class Me:
    """The bot as Telegram knows it, and what counts as calling it."""

    id: str
    username: str = ""  # without @
    names: tuple[str, ...] = ()
    commands: frozenset[str] = frozenset()  # known ones; empty = any word may be one

    def is_called(self, username: str) -> bool:
        """Whether this is our @name; case does not count."""
        return bool(self.username) and username.casefold() == self.username.casefold()

    def takes(self, call: Call, is_direct: bool) -> bool:
        """Whether a command is ours; one that names no bot is, if said to us or known to us."""
        if call.target:
            return self.is_called(call.target)
        return is_direct or not self.commands or call.name in self.commands


def call_from_text(text: str) -> Call | None:
    """The command that a text begins with: `/persona@our_bot odile`; None for a path, a shrug, a slash."""
    match = _COMMAND.match(text)
    if match is None:
        return None
    return Call(match[1].lower(), match[2] or "", text[match.end() :].strip())


def without_mention(text: str, entities: Sequence[Entity], me: Me) -> tuple[str, bool]:
    """The text with our mentions taken out, and whether there were any; a bare mention stays as it is."""
    rest, was_mentioned = text.encode("utf-16-le"), False
    for entity in sorted(entities, key=lambda one: one.offset, reverse=True):
        start, end = 2 * max(0, entity.offset), 2 * max(0, entity.offset + entity.length)
        said = rest[start:end].decode("utf-16-le", "replace")
        ours = entity.type == "mention" and said[:1] == "@" and me.is_called(said[1:])
        if ours or (entity.type == "text_mention" and entity.user and str(entity.user.id) == me.id):
            rest, was_mentioned = _joined(rest[:start], rest[end:]), True
    if not was_mentioned:
        return text.strip(), False
    return rest.decode("utf-16-le", "replace").strip() or text.strip(), True


def _joined(before: bytes, after: bytes) -> bytes:
    """What stood around a mention, without a hole: `Hello, @bot!` becomes `Hello!`."""
    left, right = (part.decode("utf-16-le", "replace") for part in (before, after))
    if not left.strip():
        whole = right.lstrip(_GAP)
    elif not right.strip() or right[0] in ".,;:!?":
        whole = left.rstrip(_GAP) + right
    else:
        whole = f"{left.rstrip()} {right.lstrip()}"
    return whole.encode("utf-16-le", "replace")
