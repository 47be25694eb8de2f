"""A brain without weights, for what is around the brain: it says again what was said, after a while."""

import asyncio

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Conversation, Prompt, Reply
from brain.persona import DEFAULT_PERSONA, Persona


class EchoBrain:
    """Answers as `brain.brain.Brain` does; the same conversation gives the same reply.

    Attributes: conversations, all that were asked, in order; num_at_once and most_at_once count replies
    in the making.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        """Take so long for each reply."""
        self._seconds = seconds
        self.conversations: list[Conversation] = []
        self.num_at_once = self.most_at_once = 0

    async def prepare(self, persona: Persona) -> Persona:
        """Nothing is needed."""
        return persona

    async def reply(
        self,
        conversation: Conversation,
        *,
        persona: Persona = DEFAULT_PERSONA,
        decoding: DecodingConfig | None = None,
        seed: int | None = None,
    ) -> Reply:
        """`re: ` and what was said last; the second best is `again: ` and the same."""
        self.conversations.append(conversation)
        self.num_at_once += 1
        self.most_at_once = max(self.most_at_once, self.num_at_once)
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self.num_at_once -= 1
        said = conversation.turns[-1].text
        candidates = tuple(
            Candidate(f"{word}: {said}", (1,), -float(place + 1), "stop", {"mmi": -float(place)})
            for place, word in enumerate(("re", "again"))
        )
        return Reply(candidates[0].text, 0, candidates, Prompt(conversation.turns, (1,)), seed or 0)
