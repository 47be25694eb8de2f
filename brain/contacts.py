"""Contact data in texts: found, counted, and replaced by a word in brackets.

What a model has seen it may say to strangers. Found is what can be told from other text with some certainty;
numbers of cards and accounts must have a valid check digit. Nobody should rely on it alone.
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

_SECRET = r"(?:token|key|api_?key|secret|password|passwd|pwd|auth|sig|signature|access_token|code|pass)"
_LINK = re.compile(
    rf"\b[a-z][a-z0-9+.-]{{1,20}}://(?:[^\s/@]+:[^\s/@]*@[^\s]+|[^\s?#]*[?#&](?:[^\s]*&)?{_SECRET}=[^\s]+)",
    re.I,
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", re.I)
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]?\d)")
_PHONE = re.compile(
    r"(?<![\w.,:/-])(?:"
    r"(?:\+\s?|00)[1-9]\d{0,2}(?:[ \u00a0./-]?\(\d{1,4}\))?(?:[ \u00a0./-]?\d){5,13}"  # international
    r"|\(\d{2,5}\)[ -]?\d(?:[ .-]?\d){4,9}"  # (area code)
    r"|(?!\d{1,2}[./-]\d{1,2}[./-]\d{2,4})0[1-9](?:[ ./-]?\d){6,11}"  # a leading zero, and no date
    r"|(?:1[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}"  # North America
    r"|8[ -]?\(?9\d{2}\)?(?:[ -]?\d){7}|1[3-9]\d{9}"  # Russia, China
    r"|[6-9]\d{2} \d{3} \d{3}|[6-9]\d{4} ?\d{4,5}"  # Spain, Portugal, India
    r")(?!\d|[.,:]\d)"
)
_STREET = re.compile(
    r"\b\d{1,5}[a-z]?,? (?:[A-Z][\w'.-]+ ){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|"
    r"Boulevard|Blvd|Court|Ct|Terrace|Crescent|Square)\b\.?"
    r"|\b[A-ZÄÖÜ][\wäöüß.-]*(?:straße|strasse|str\.|gasse|weg|allee|platz) \d{1,4}(?: ?[a-z])?\b"
    r"|\b\d{1,4},? (?:rue|avenue|boulevard|place|impasse|chemin) (?:d[eu'] ?|des |de la )?"
    r"[A-ZÉÈ][\w'-]+(?: [A-Z][\w'-]+)?"
    r"|\b(?:Calle|Avenida|Rua|Via|Viale|Piazza|Plaza|Paseo) (?:de |del |de la |da |do |dei )?"
    r"[A-ZÁÉÍÓÚ][\w'-]+(?: [A-ZÁÉÍÓÚ][\w'-]+)?,? (?:n\.? ?º? ?)?\d{1,4}\b"
)
_MAYBE = re.compile(r"[\d@]|://")


def mask(text: str) -> tuple[str, Counter[str]]:
    """The text with its contact data replaced, and how often which kind was found.

    Kinds are link (one that carries a password or key), email, iban, card, phone and address; a kind's place
    in the text becomes [link] and so on.
    """
    found: Counter[str] = Counter()
    if not _MAYBE.search(text):
        return text, found
    for kind, pattern, is_real in _KINDS:
        text = pattern.sub(lambda match, kind=kind, is_real=is_real: _put(match, kind, is_real, found), text)  # type: ignore[misc]  # mypy does not see defaults of a lambda
    return text, found


def contacts_in(text: str) -> frozenset[str]:
    """What `mask` would replace; letters in lower case, numbers as bare digits, so that one contact written
    two ways is one.
    """
    if not _MAYBE.search(text):
        return frozenset()
    found: set[str] = set()
    for kind, pattern, is_real in _KINDS:
        for match in pattern.finditer(text):
            if is_real(match[0]):
                found.add(re.sub(r"\D", "", match[0]) if kind in ("card", "phone") else match[0].lower())
        text = pattern.sub(lambda match, is_real=is_real: " " if is_real(match[0]) else match[0], text)  # type: ignore[misc]  # mypy does not see defaults of a lambda
    return frozenset(found)


def _put(match: re.Match[str], kind: str, is_real: Callable[[str], bool], found: Counter[str]) -> str:
    text = match[0]
    if not is_real(text):
        return text
    found[kind] += 1
    return f"[{kind}]"


def _always(text: str) -> bool:
    return True


@lru_cache(maxsize=1024)
def _is_iban(text: str) -> bool:
    """The two check digits: ISO 13616, remainder 1 modulo 97."""
    plain = text.replace(" ", "").upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """Luhn's check digit; one repeated digit is no card."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return len(set(digits)) > 1 and (doubled + sum(digits[-1::-2])) % 10 == 0


def _is_phone(text: str) -> bool:
    """Seven to fifteen digits: ITU-T E.164."""
    return 7 <= sum(map(str.isdigit, text)) <= 15


_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("link", _LINK, _always),
    ("email", _EMAIL, _always),
    ("iban", _IBAN, _is_iban),
    ("card", _CARD, _is_card),
    ("phone", _PHONE, _is_phone),
    ("address", _STREET, _always),
)
