"""Date and time at the beginning of a line, in any locale: what is written, not yet what it means.

A phone writes all stamps of an export in one shape. What the shape leaves open, the order of day and month
and which word means afternoon, is told by all stamps together: see `clock`.
"""

import re
import unicodedata
from dataclasses import dataclass

MARKS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
MAX_HEAD = 64  # characters before the name
_UNMARKED = str.maketrans("", "", MARKS)
_DATE = r"(\d{1,4})\s?([./\-年년])\s?(\d{1,2})\s?([./\-月월])\s?(\d{1,4})(?:\s?[.日일])?"
_TIME = r"(\d{1,2})\s?([:.h時时시])\s?(\d{2})(?:\s?[:.m分분]\s?(\d{2}))?"
_WORDS = r"[^\d:/\"<>\[\]]{0,24}"
_DATE_FIRST = re.compile(rf"{_DATE}(?:[,،\s]|(?<=[日일.])|(?=\D))({_WORDS}?){_TIME}({_WORDS})")
_TIME_FIRST = re.compile(rf"{_TIME}({_WORDS}?)[,،\s]\s?{_DATE}({_WORDS})")
_DASH = re.compile(r"\s[-\u2013\u2014]\s?")
_COMMA = re.compile(r"(?<=[\w.])[,:] ")
_LINE_START = re.compile(rf"[{MARKS}\s]*")


@dataclass(frozen=True, slots=True)
class Stamp:
    """One date and time as written.

    `shape` is equal for all stamps of one export. `date` has its three numbers in the order of the text,
    `widths` their digits. `period` is the word beside the time, letters only, in lower case, or "".
    """

    shape: tuple[str, ...]
    date: tuple[int, int, int]
    widths: tuple[int, int, int]
    time: tuple[int, int, int]
    period: str


def split(line: str) -> tuple[Stamp, str] | None:
    """The stamp of a line and what follows it, None when the line does not begin with one."""
    start = _LINE_START.match(line)
    at = start.end() if start else 0
    if at >= len(line) or not (line[at] == "[" or line[at].isdigit()):
        return None
    if line[at] == "[":
        end = line.find("]", at, at + MAX_HEAD)
        stamp = _stamp("[", line[at + 1 : end]) if end > 0 else None
        return (stamp, line[end + 1 :].lstrip(" \t\u00a0\u202f")) if stamp else None
    for found in _DASH.finditer(line, at, min(len(line), at + MAX_HEAD)):
        if stamp := _stamp("-", line[at : found.start()]):
            return stamp, line[found.end() :]
    for found in _COMMA.finditer(line, at, min(len(line), at + MAX_HEAD)):  # Korean; colon: old iPhones
        if stamp := _stamp(found[0][0], line[at : found.start()]):
            return stamp, line[found.end() :]
    return None


def _stamp(form: str, text: str) -> Stamp | None:
    plain = _plain(text)
    if found := _DATE_FIRST.fullmatch(plain):
        first, sep, second, sep_2, third, middle, hour, colon, minute, seconds, tail = found.groups()
    elif found := _TIME_FIRST.fullmatch(plain):
        hour, colon, minute, seconds, middle, first, sep, second, sep_2, third, tail = found.groups()
    else:
        return None
    order = "time" if found.re is _TIME_FIRST else "date"
    time = (int(hour), int(minute), int(seconds or 0))
    if time > (24, 0, 0) or max(time[1:]) > 59:
        return None
    return Stamp(
        shape=(form, order, sep, sep_2, colon, "s" if seconds else ""),
        date=(int(first), int(second), int(third)),
        widths=(len(first), len(second), len(third)),
        time=time,
        period=_letters(middle if order == "time" else tail) or _letters(middle),
    )


def _plain(text: str) -> str:
    """Without marks, digits of any script as 0 to 9, spaces of any kind as one."""
    text = text.translate(_UNMARKED)
    if not text.isascii():
        text = "".join(str(unicodedata.digit(sign, sign)) if sign.isdigit() else sign for sign in text)
    return " ".join(text.split()).casefold()


def _letters(text: str) -> str:
    return "".join(sign for sign in text if unicodedata.category(sign)[0] in "LM")
