"""The bot talks with itself."""

from collections.abc import AsyncGenerator

from bots.cast import Cast
from bots.chat import Speaker, seed_at
from brain.dialogue import Conversation, Turn
from brain.persona import Persona


async def play(
    brain: Speaker, cast: Cast, persona: Persona, opening: str, seed: int | None
) -> AsyncGenerator[Turn]:
    """The opening, then a reply to all before it, and so on without end; the caller stops.

    With a seed the n-th turn is drawn with `seed_at(seed, n)`, so a longer play begins like a shorter one.
    """
    turns = [Turn(opening)]
    decoding = cast.decoding(persona)
    while True:
        yield turns[-1]
        reply = await brain.reply(
            Conversation(tuple(turns)), persona=persona, decoding=decoding, seed=seed_at(seed, len(turns))
        )
        turns.append(Turn(reply.text, persona.name))
