"""What a command for a chat gets and what it gives back: values between the rooms of answering."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bots.cast import Cast
from bots.chat import Speaker
from bots.claims import Claim, Waiting
from bots.database import Database
from bots.gates import Gate
from bots.ledger import Effect
from bots.records import Draft
from brain.persona import Persona


@dataclass(frozen=True, slots=True)
class House:
    """What commands work with."""

    database: Database
    cast: Cast
    gate: Gate
    persona: Persona  # of chats that chose none
    chattiness: float  # of chats that set none
    brain: Speaker


@dataclass(frozen=True, slots=True)
class Asked:
    """One command in one chat."""

    house: House
    claim: Claim
    request: Waiting

    @property
    def words(self) -> str:
        """What stands after the command's name."""
        return self.request.text.strip()

    @property
    def is_in_charge(self) -> bool:
        """Whether this person may change what concerns all: alone, as admin, or where no admin is named."""
        gate = self.house.gate
        return (
            self.claim.is_private
            or not gate.has_admins
            or gate.is_admin(self.claim.key.adapter, self.request.user_id)
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent, and what is written in the same transaction."""

    drafts: tuple[Draft, ...]
    effects: tuple[Effect, ...] = ()
    reply_id: int = 0  # of the exchange, when a draft is a turn of the bot


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: its summary for people, what it does, and whether it changes things for all in a chat."""

    summary: str
    run: Callable[[Asked], Awaitable[Answer]]
    choices: tuple[str, ...] = ()
    is_for_all: bool = False


def note(text: str, *effects: Effect) -> Answer:
    """A sentence of the house."""
    return Answer((Draft(text),), effects)
