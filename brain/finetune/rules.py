"""What is left out of training data and why: every rule has a name, and what it drops is counted."""

from typing import Literal

from brain.encoding import clean_turn

Kind = Literal["text", "system", "media", "deleted", "forwarded"]
Rule = Literal[
    "system", "media", "deleted", "forwarded", "empty", "seen twice", "no answer", "duplicate session"
]

REASONS: dict[Rule, str] = {
    "system": "notices of the platform, tool calls and instructions",
    "media": "photos, voice messages, files and polls without a text of their own",
    "deleted": "messages that their writer deleted",
    "forwarded": "forwarded messages: the words of somebody else",
    "empty": "messages without visible text",
    "seen twice": "messages that stand in several of the files",
    "no answer": "sessions in which the character answers nobody",
    "duplicate session": "sessions that stand there word for word already",
}


def refusal(kind: Kind, text: str, keep_forwarded: bool = False) -> Rule | None:
    """The rule that drops this message, None when it stays.

    Args:
        kind: what the reader took the message for.
        text: as exported.
    """
    if kind == "forwarded" and keep_forwarded:
        kind = "text"
    if kind != "text":
        return kind
    return None if clean_turn(text) else "empty"


def session_refusal(weights: tuple[float, ...]) -> Rule | None:
    """The rule that drops this session: without a trained turn after another turn nothing can be learnt."""
    return None if any(weight > 0 for weight in weights[1:]) else "no answer"
