"""Contact data in text: e-mail addresses and telephone numbers, found by their form."""

import regex

# Linear in the text: every repetition is possessive or bounded, so a hostile line cannot hold us up.
EMAIL = regex.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+)++", regex.IGNORECASE)
PHONE = regex.compile(r"(?<![\w.])\+?\(?\d(?:[ ().\-/]{0,2}\d){7,14}+(?!\w)")
DATE = regex.compile(r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})")


def contacts_in(text: str) -> frozenset[str]:
    """Addresses in lower case and numbers as bare digits, so that one contact written two ways is one."""
    emails = {found.group().lower() for found in EMAIL.finditer(text)}
    phones = {
        regex.sub(r"\D", "", found.group()) for found in PHONE.finditer(text) if not DATE.match(found.group())
    }
    return frozenset(emails | phones)
