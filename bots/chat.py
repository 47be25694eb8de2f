"""One live conversation with the brain: what is said, taken back and asked again."""

from hashlib import blake2b
from typing import Protocol

from bots.cast import Cast
from brain.brain import draw_settings
from brain.config import DecodingConfig
from brain.dialogue import Conversation, Reply, Turn
from brain.persona import Persona

_KEPT_TURNS = 1000  # far more than any model sees; bounds the memory of an endless chat
_RETRY_DRAWS = 4  # how often one retry asks for a text other than the one taken back


class Speaker(Protocol):
    """The verbs of `brain.brain.Brain` that a chat needs."""

    async def prepare(self, persona: Persona) -> Persona:
        """Read what a character speaks with. Raises VoiceError: it cannot speak."""

    async def reply(
        self,
        conversation: Conversation,
        *,
        persona: Persona,
        decoding: DecodingConfig | None = None,
        seed: int | None = None,
    ) -> Reply:
        """Answer the last turn; the same conversation, decoding and seed give the same reply."""


def seed_at(seed: int | None, turn: int, attempt: int = 0) -> int | None:
    """The seed of one reply of a seeded chat: another for every turn and attempt, the same in every run."""
    if seed is None:
        return None
    digest = blake2b(f"{seed}/{turn}/{attempt}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


class Chat:
    """The live turns of one chat with one character; a failed or cancelled call leaves them as they were."""

    def __init__(self, brain: Speaker, cast: Cast, persona: Persona, seed: int | None = None) -> None:
        self.persona, self.cast = persona, cast
        self._brain, self._seed = brain, seed
        self._turns: list[Turn] = []
        self._num_said = self._attempt = 0
        self._last: Reply | None = None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns so far, oldest first, the bot's included."""
        return tuple(self._turns)

    @property
    def last(self) -> Reply | None:
        """How the newest reply was chosen; None before the first one and after it was taken back."""
        return self._last

    async def become(self, persona: Persona) -> None:
        """Let another character go on, what was said included.

        Raises:
            VoiceError: it cannot speak; the one before stays.
        """
        await self._brain.prepare(persona)
        self.persona = persona

    async def say(self, text: str) -> Reply:
        """Add a turn and its reply.

        Raises:
            BrainError: nothing was said, or the engine cannot answer now.
        """
        reply = await self._answer([*self._turns, Turn(text)], attempt=0)
        self._turns = [*self._turns, Turn(text), Turn(reply.text, self.persona.name)][-_KEPT_TURNS:]
        self._num_said, self._attempt, self._last = self._num_said + 1, 0, reply
        return reply

    async def retry(self) -> Reply | None:
        """Replace the newest reply by another draw, sampled after greedy and beam; None when there is none.

        The text taken back is said again only when several draws gave nothing else.
        """
        if len(self._turns) < 2:
            return None
        attempt = self._attempt
        for _ in range(_RETRY_DRAWS):
            attempt += 1
            reply = await self._answer(self._turns[:-1], attempt)
            if reply.text != self._turns[-1].text:
                break
        self._turns[-1] = Turn(reply.text, self.persona.name)
        self._attempt, self._last = attempt, reply
        return reply

    def undo(self) -> Turn | None:
        """Take back the newest exchange; the person's turn of it, None when there is none."""
        if len(self._turns) < 2:
            return None
        taken = self._turns[-2]
        del self._turns[-2:]
        self._num_said, self._attempt, self._last = max(0, self._num_said - 1), 0, None
        return taken

    def reset(self) -> None:
        """Forget everything said; a seeded chat starts over with its first seed."""
        self._turns.clear()
        self._num_said, self._attempt, self._last = 0, 0, None

    async def _answer(self, turns: list[Turn], attempt: int) -> Reply:
        turn = self._num_said if attempt == 0 else self._num_said - 1
        decoding = self.cast.decoding(self.persona)
        if attempt > 0:  # greedy and beam search would say the same again
            decoding, _ = draw_settings(decoding, seed=0, draw=1)
        return await self._brain.reply(
            Conversation(tuple(turns)),
            persona=self.persona,
            decoding=decoding,
            seed=seed_at(self._seed, turn, attempt),
        )
