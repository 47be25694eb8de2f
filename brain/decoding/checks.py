"""Why a candidate may not be said: nothing in it, an echo, a loop, cut off, or a blocked word.

Text is compared after Unicode NFKC and case folding. Standard library only.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from brain.config import ChecksConfig
from brain.dialogue import Conversation, Finish, Turn

_APOSTROPHE = re.compile("['\u2019]")  # typed and typographic
_COMPARED_CHARS = 4000  # of a turn, its end; no candidate is as long
_NEAR_ECHO_WORDS = 4  # a shorter piece of a turn, such as "pizza", may well be the answer to it
_REPLACEMENT = "\ufffd"  # broken UTF-8, which Unicode counts among the symbols
_VARIATION_SELECTORS = "\ufe0e\ufe0f"  # the same emoji, drawn otherwise


@dataclass(frozen=True, slots=True)
class _Saying:
    """A text as echoes are looked for: what `_skeleton` leaves, and its words, each between two spaces."""

    skeleton: str
    words: str
    num_words: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What both sides said lately, made ready to compare any number of candidates with it."""

    user: tuple[_Saying, ...]
    bot: tuple[_Saying, ...]


def heard_from_conversation(conversation: Conversation, num_turns: int) -> Heard:
    """The last turns of each side; of a very long one only its end."""
    user, bot = (
        tuple(_saying(turn.text.rstrip()[-_COMPARED_CHARS:]) for turn in side)
        for side in _sides(conversation, num_turns)
    )
    return Heard(user, bot)


def refusal(text: str, finish: Finish, heard: Heard, checks: ChecksConfig) -> str | None:
    """Name the first fault of a candidate, in the order of this module's first line.

    Args:
        text: the candidate, decoded.
        heard: what was said before it.
    Returns:
        "empty", "echo of the user", "echo of itself", "loop", "cut off" or "blocked word"; None when it may
        be said.
    """
    said = _saying(text)
    if not said.skeleton:
        return "empty"
    if any(_is_echo(said, turn) for turn in heard.user):
        return "echo of the user"
    if any(_is_echo(said, turn) for turn in heard.bot):
        return "echo of itself"
    if _has_loop(_fold(text).split(), checks) or _has_loop(_spoken_words(text), checks):
        return "loop"
    if finish not in ("stop", "trimmed"):
        return "cut off"
    return "blocked word" if _has_blocked_word(text, checks.blocked_words) else None


def _sides(conversation: Conversation, num_turns: int) -> tuple[Sequence[Turn], Sequence[Turn]]:
    """The last turns of the user and of the bot."""
    if num_turns == 0:
        return (), ()
    user = tuple(turn for back, turn in enumerate(reversed(conversation.turns)) if back % 2 == 0)
    return user[:num_turns], conversation.bot_turns[-num_turns:]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _words(text: str) -> list[str]:
    """Runs of letters, digits and their combining marks, which `\\w` would split Hindi or Thai words at."""
    spaced = (char if unicodedata.category(char)[0] in "LNM" else " " for char in _fold(text))
    return "".join(spaced).split()


def _spoken_words(text: str) -> list[str]:
    """As `_words`, with "don't" as one word."""
    return _words(_APOSTROPHE.sub("", text))


def _skeleton(text: str) -> str:
    """Letters, digits and symbols such as emoji, nothing else: empty when the text says nothing."""
    return "".join(char for char in _fold(text) if _is_telling(char))


def _is_telling(char: str) -> bool:
    category = unicodedata.category(char)
    return (category[0] in "LNM" or category == "So") and char not in _REPLACEMENT + _VARIATION_SELECTORS


def _saying(text: str) -> _Saying:
    words = _spoken_words(text)
    return _Saying(_skeleton(text), f" {' '.join(words)} ", len(words))


def _is_echo(said: _Saying, turn: _Saying) -> bool:
    """The same letters; or four words and more of the turn, nothing else; or the turn and one word more."""
    if said.skeleton == turn.skeleton:
        return True
    if min(said.num_words, turn.num_words) < _NEAR_ECHO_WORDS:
        return False
    return said.words in turn.words or (said.num_words <= turn.num_words + 1 and turn.words in said.words)


def _contains(words: Sequence[str], piece: Sequence[str]) -> bool:
    """Whether the piece stands in the words, word for word and unbroken."""
    return any(words[at : at + len(piece)] == piece for at in range(len(words) - len(piece) + 1))


def _has_loop(words: Sequence[str], checks: ChecksConfig) -> bool:
    """An n-gram too often, a word three times in a row, or two words and the same two again."""
    ngrams = Counter(zip(*(words[at:] for at in range(checks.ngram)), strict=False))
    if max(ngrams.values(), default=0) > checks.max_repeats:
        return True
    if any(
        first == second == third for first, second, third in zip(words, words[1:], words[2:], strict=False)
    ):
        return True
    return any(words[at : at + 2] == words[at + 2 : at + 4] for at in range(len(words) - 3))


def _has_blocked_word(text: str, blocked_words: Sequence[str]) -> bool:
    """Whole words and phrases; an entry without letters or digits, such as an emoji, counts anywhere."""
    folded, words = _fold(text), _words(text)
    for entry in blocked_words:
        piece, symbols = _words(entry), _fold(entry).strip()
        if _contains(words, piece) if piece else symbols and symbols in folded:
            return True
    return False
