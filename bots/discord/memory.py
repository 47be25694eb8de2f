"""Where a session has come to, and its file: a restart goes on where a kill broke off.

Discord then replays what was not accepted. Without it the channels are read for what was missed, which finds
no first direct message of somebody new.
"""

import asyncio
import logging
import os
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from bots.discord.payloads import Id, Payload

SAVE_EVERY_S = 0.5  # what was accepted since is replayed and known by its key
SAVE_FIRST_S = 0.02  # killed before a file tells of a session, nobody can have it replayed
_log = logging.getLogger(__name__)


class Session(Payload):
    """What it takes to go on where a connection broke off; worth nothing without the token."""

    id: str
    sequence: int
    url: str

    @property
    def stamp(self) -> str:
        """Names this place in all sessions; a replay comes to the same."""
        return sha256(f"{self.id}:{self.sequence}".encode()).hexdigest()[:24]


class Remembered(Payload):
    """The content of the file: a session, and what only its beginning tells."""

    bot: Id
    session: Session
    application: Id
    roles: tuple[Id, ...] = ()


async def recall(path: str, bot: str) -> Remembered | None:
    """What the file holds, if it is this bot's."""
    if not path:
        return None
    try:
        found = Remembered.model_validate_json(await asyncio.to_thread(_read, path))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        _log.warning("the session file cannot be read: %s", type(error).__name__)
        return None
    return found if found.bot == bot else None


async def remember(path: str, remembered: Remembered) -> None:
    """Replace the file as a whole."""
    try:
        await asyncio.to_thread(_write, path, remembered.model_dump_json().encode())
    except OSError as error:
        _log.warning("the session file cannot be written: %s", error.strerror)


def _read(path: str) -> bytes:
    return Path(path).expanduser().read_bytes()


def _write(path: str, content: bytes) -> None:
    file_path = Path(path).expanduser()
    file_path.parent.mkdir(parents=True, exist_ok=True)
    beside = file_path.with_name(file_path.name + ".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    beside.replace(file_path)
