"""What the model reads: the newest whole turns that fit the context window, and how a chat began."""

from collections.abc import Sequence
from dataclasses import replace

from brain.dialogue import Conversation, Prompt, Turn
from brain.errors import PromptError
from brain.persona import Persona
from brain.protocols import Encoder


def fit(turns: Sequence[Turn], encoder: Encoder, max_turns: int, max_tokens: int) -> Prompt:
    """Keep whole turns, newest first, within both bounds; at least the newest one.

    A newest turn that is too long by itself keeps its end, which is where the question usually stands.

    Args:
        turns: oldest first; turns without visible text are passed over.
        max_turns: at most so many turns, the newest included.
        max_tokens: at most so many ids, end tokens included: the model's positions less the new tokens.
    Raises:
        PromptError: no turn has any text, or max_tokens leaves no room for one token and its end.
    """
    if max_tokens < 2:
        raise PromptError("no room for history: max_new_tokens uses up all positions of the model")
    kept: list[tuple[Turn, list[int]]] = []
    room = max_tokens
    for turn in reversed(turns):
        ids = encoder.encode_turn(turn.text)
        if len(ids) == 1:
            continue
        if len(kept) == max_turns or len(ids) > room:
            break
        kept.append((turn, ids))
        room -= len(ids)
    if kept:
        kept.reverse()
        return Prompt(tuple(turn for turn, _ in kept), tuple(token for _, ids in kept for token in ids))
    spoken = [ids for ids in (encoder.encode_turn(turn.text) for turn in turns) if len(ids) > 1]
    if not spoken:
        raise PromptError("nothing was said: at least one turn must have text")
    newest = next(turn for turn in reversed(turns) if len(encoder.encode_turn(turn.text)) > 1)
    return Prompt((newest,), tuple(spoken[-1][-max_tokens:]), is_cut=True)


def opened(conversation: Conversation, persona: Persona) -> Conversation:
    """The conversation with the persona's greeting before it: the voice goes on as the model hears it begin.

    Only where the user spoke first, as in a new chat; the greeting leaves the history like any oldest turn.
    """
    turns = conversation.turns
    if not persona.greeting or len(turns) % 2 == 0:
        return conversation
    return replace(conversation, turns=(Turn(persona.greeting, persona.name), *turns))


def shortened(turns: Sequence[Turn], max_chars: int) -> tuple[Turn, ...]:
    """The same turns, of the very long ones the end: a tokenizer would hold up every thread over them."""
    return tuple(
        turn if len(turn.text) <= max_chars else replace(turn, text=turn.text.rstrip()[-max_chars:])
        for turn in turns
    )
