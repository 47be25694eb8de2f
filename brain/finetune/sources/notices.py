"""WhatsApp's own words inside messages: known ones of many locales, others by how they are written.

Known are those in phrases.toml.
"""

import re

from brain.finetune.rules import Kind
from brain.finetune.sources.phrases import PHRASES
from brain.finetune.sources.stamps import MARKS

_UNMARKED = str.maketrans("", "", MARKS)
_ANGLES = re.compile(r"<[^<>\n=/\\]{4,80}>")
_ATTACHED = re.compile(
    r"<[^<>\n:]{2,40}:\s?[^<>\n/]{1,120}\.\w{2,5}>|[^/\n]{1,120}\.\w{2,5} \([^()\n]{4,50}\)"
)
_CAPTIONED = re.compile(r"[^/\n]{1,120}\.\w{2,5} \([^()\n]{4,50}\)\n(.+)", re.DOTALL)
_TRAILING = re.compile(r"\s?([" + MARKS + r"]*)<([^<>\n=/\\]{4,60})>[" + MARKS + r"]*\Z")


def judge(text: str) -> tuple[Kind, str]:
    """What a message is, and its text without WhatsApp's own words around it.

    A left-to-right mark at the beginning is how iPhones begin what they say themselves.
    """
    is_own = text.startswith("\u200e")
    text = text.translate(_UNMARKED).strip() if is_own else without_edit_mark(text).strip(MARKS + " \t\r\n")
    phrase = text.strip("<>. ").casefold()
    if phrase in PHRASES["deleted"]:
        return "deleted", text
    if phrase in PHRASES["system"]:
        return "system", text
    if found := _CAPTIONED.fullmatch(text):
        return "text", found[1].strip()
    if phrase in PHRASES["media"] or _ATTACHED.fullmatch(text):
        return "media", text
    if _ANGLES.fullmatch(text) and (not text.isascii() or " " in text):
        return "media", text
    if is_own:
        return ("media" if len(phrase.split()) <= 4 and ":" not in phrase else "system"), text
    return "text", text


def without_edit_mark(text: str) -> str:
    """The text before a closing <This message was edited>, in any locale that marks it or that we know."""
    found = _TRAILING.search(text)
    if not found or not found.start():
        return text
    is_marked = "\u200e" in found[1] or "\u200f" in found[1]
    return (
        text[: found.start()] if is_marked or found[2].rstrip(".").casefold() in PHRASES["edited"] else text
    )
