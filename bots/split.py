"""Long text becomes parts that fit a platform's limit and join back to the very same text."""

from itertools import accumulate

import regex

from bots.messages import Limits

# One letter as people see it. \X alone looks back over all flags before: quadratic, half a minute for 50,000.
_CLUSTER = regex.compile(r"\p{RI}{2}[\p{GCB=Extend}\p{GCB=SpacingMark}\u200d]*+|\X")
# Where to cut, best first: after a paragraph, a line, a sentence (no space follows a CJK one), a space.
_PLACES = tuple(
    regex.compile(pattern)
    for pattern in (
        r"\n[^\S\n]*\n\s*",
        r"\n\s*",
        r"(?<=[\p{Sentence_Terminal}\u2026][\p{Pe}\p{Pf}\"']{0,2})\s+|(?<=[\u3002\uff01\uff1f])",
        r"\s+",
    )
)
_MIN_SHARE = 0.5  # a part cut at a good place is at least this much of the longest possible one


def split(text: str, limits: Limits) -> tuple[str, ...]:
    """Parts in order, each within limits.max_len; "".join(parts) == text, and no text has no parts.

    Cuts after a paragraph, else a line, a sentence or a space in the second half of what fits, else between
    two characters as people see them; an emoji or an accented letter stays whole unless it alone is too long.
    A part may be blank when the text has that much white space; platforms refuse those, so do not send them.
    """
    if limits.length(text) <= limits.max_len:
        return (text,) if text else ()
    sizes = [1 if limits.unit == "characters" else 1 + (char > "\uffff") for char in text]
    reach = list(accumulate(sizes, initial=0))  # reach[i]: units of text[:i]
    ends = {match.end() for match in _CLUSTER.finditer(text)} - _inside_pairs(text)
    parts, start, end = [], 0, 0
    while start < len(text):
        while end < len(text) and reach[end + 1] - reach[start] <= limits.max_len:
            end += 1
        cut = end if end == len(text) else _cut(text, start, end, ends)
        parts.append(text[start:cut])
        start = cut
    return tuple(parts)


def _cut(text: str, start: int, end: int, ends: set[int]) -> int:
    """Where the part that begins at `start` and must not pass `end` is cut."""
    least = start + max(1, int((end - start) * _MIN_SHARE))
    for place in _PLACES:
        cuts: list[int] = [match.end() for match in place.finditer(text, start, end) if match.end() >= least]
        if good := [cut for cut in cuts if cut in ends]:
            return good[-1]
    for cut in range(end, start, -1):
        if cut in ends:
            return cut
    return end - 1 if end - 1 > start and _is_pair(text, end) else end  # one cluster longer than a message


def _inside_pairs(text: str) -> set[int]:
    """Places between the halves of a surrogate pair that came as two characters."""
    return {place for place in range(1, len(text)) if _is_pair(text, place)}


def _is_pair(text: str, place: int) -> bool:
    return "\ud800" <= text[place - 1] <= "\udbff" and "\udc00" <= text[place] <= "\udfff"
