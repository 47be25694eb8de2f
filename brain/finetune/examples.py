"""Sessions to windows of token ids with loss weights.

DialoGPT's conventions with their faults mended: the first turn of a session is context (nothing was said
before it), every other turn of positive weight is a target exactly once, its closing end-of-text included.
A session longer than a window goes on in the next one, behind as many of its last turns as fit half of it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from brain.dialogue import Session
from brain.encoding import TurnEncoder, clean_turn


@dataclass(frozen=True, slots=True)
class EncodedTurn:
    """Ids of a turn with its end token, its loss weight, and its UTF-8 length in bytes."""

    ids: list[int]
    weight: float
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of one session: `weights[i]` weighs predicting `ids[i]` from `ids[:i]`, 0 = context only."""

    ids: list[int]
    weights: list[float]
    num_bytes: int  # UTF-8 length of the turns that carry loss

    @property
    def has_loss(self) -> bool:
        """Whether any token but the first, which nothing predicts, carries weight."""
        return any(self.weights[1:])


def encode_session(session: Session, encoder: TurnEncoder) -> list[EncodedTurn]:
    """Tokenise a session's turns; turns without text are left out."""
    texts = [turn.text for turn in session.turns]
    encoded = zip(encoder.encode_texts(texts), session.weights, texts, strict=True)
    return [
        EncodedTurn(ids, weight, len(clean_turn(text).encode()))
        for ids, weight, text in encoded
        if len(ids) > 1
    ]


def ordered(turns: Sequence[EncodedTurn], *, reverse: bool, train_first: bool) -> list[EncodedTurn]:
    """Reading order of the forward or the reverse model, with the weight of the opening turn settled.

    In reverse reading every turn but the response is a target whatever its forward weight was: context turns
    (weight 0 forward) are just what P(history | response) must learn. DialoGPT's own preparation keeps the
    zeros and so trains nothing (its issue 41).
    """
    if reverse:
        turns = [EncodedTurn(turn.ids, turn.weight or 1.0, turn.num_bytes) for turn in reversed(turns)]
    first = turns[0]
    opening = EncodedTurn(first.ids, first.weight if train_first else 0.0, first.num_bytes)
    return [opening, *turns[1:]]


def split_at_random(
    turns: Sequence[EncodedTurn], share: float, draw: random.Random
) -> list[list[EncodedTurn]]:
    """Cut a session at a random turn with probability `share`, so that short histories are learnt as well."""
    if len(turns) < 4 or draw.random() >= share:
        return [list(turns)]
    cut = draw.randrange(2, len(turns) - 1)
    return [list(turns[:cut]), list(turns[cut:])]


def windows(turns: Sequence[EncodedTurn], max_len: int) -> list[Window]:
    """Cut one session into windows of at most `max_len` ids; a long turn goes on in the next one."""
    out: list[Window] = []
    window: list[EncodedTurn] = []
    num_context = 0  # how many leading turns of `window` were targets of the window before
    for turn in (piece for whole in turns for piece in _pieces(whole, max_len)):
        if window and _len(window) + len(turn.ids) > max_len:
            out.append(_window(window, num_context, max_len))
            window = _tail(window, min(max_len // 2, max_len - len(turn.ids)))
            num_context = len(window)
        window.append(turn)
    if window:
        out.append(_window(window, num_context, max_len))
    return [window for window in out if window.has_loss]


def _pieces(turn: EncodedTurn, max_len: int) -> list[EncodedTurn]:
    """A long turn in pieces of at most half a window, so that each has the one before as context."""
    if len(turn.ids) <= max_len // 2:
        return [turn]
    cuts = range(0, len(turn.ids), max_len // 2)
    parts = [turn.ids[cut : cut + max_len // 2] for cut in cuts]
    sizes = [turn.num_bytes * len(part) // len(turn.ids) for part in parts]
    sizes[-1] += turn.num_bytes - sum(sizes)
    return [EncodedTurn(part, turn.weight, size) for part, size in zip(parts, sizes, strict=True)]


def _tail(turns: list[EncodedTurn], max_len: int) -> list[EncodedTurn]:
    kept: list[EncodedTurn] = []
    for turn in reversed(turns):
        if _len(kept) + len(turn.ids) > max_len:
            break
        kept.insert(0, turn)
    return kept


def _len(turns: Sequence[EncodedTurn]) -> int:
    return sum(len(turn.ids) for turn in turns)


def _window(turns: Sequence[EncodedTurn], num_context: int, max_len: int) -> Window:
    ids: list[int] = []
    weights: list[float] = []
    num_bytes = 0
    for place, turn in enumerate(turns):
        weight = 0.0 if place < num_context else turn.weight
        ids += turn.ids
        weights += [weight] * len(turn.ids)
        num_bytes += turn.num_bytes if weight else 0
    assert len(ids) <= max_len
    return Window(ids, weights, num_bytes)
