"""The whole sentences that a reply begins with: what may be left of one that loops or is cut off.

Standard library only.
"""

import re
from collections.abc import Iterator

# A sentence ends in one of these and what closes after it, before a space; in Chinese and Japanese anywhere.
_END = re.compile(r"[.!?\u2026\u061f\u0964]+[\"'\u2019\u201d)\]]*(?=\s)|[\u3002\uff01\uff1f]+[\u300d\uff09]*")
_NO_END = re.compile(r"(?:^|[\s(])(?:mr|mrs|ms|dr|st|vs|prof|jr|e\.g|i\.e|[a-z])\.$", re.IGNORECASE)


def shorter_wholes(text: str) -> Iterator[str]:
    """Beginnings of a text that end with a sentence, the longest first, the text itself not among them."""
    for match in reversed(list(_END.finditer(text))):
        beginning = text[: match.end()]
        if match.end() < len(text.rstrip()) and not _NO_END.search(beginning):
            yield beginning
