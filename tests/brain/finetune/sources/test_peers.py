"""WhatsApp beside the packages whatstk and chat-miner: counts, times, names, texts of fourteen locales.

What they read from the exports in tests/data/whatsapp was recorded once by record.py there: both bring a
stack of data frames. Where chat-miner cannot read an export at all its complaint is recorded instead.
"""

import json
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from brain.finetune.sources import whatsapp
from brain.finetune.sources.messages import Reading

FOLDER = Path(__file__).parents[3] / "data" / "whatsapp"
LOCALES = sorted(path.stem for path in FOLDER.glob("*.txt"))


def ours(locale: str) -> list[list[str]]:
    messages = whatsapp.read(FOLDER / f"{locale}.txt", Reading()).messages
    return [[moment(one.time), one.speaker, one.text] for one in messages]


def moment(seconds: float | None) -> str:
    assert seconds is not None
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def readable_by(peer: str) -> list[str]:
    """The locales that a peer reads at all; where it does not, its complaint stands in place of messages."""
    return [locale for locale in LOCALES if not isinstance(record_of(locale)[peer], str)]


def record_of(locale: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{locale}.json").read_text(encoding="utf-8"))
    return found


def recorded(locale: str, peer: str) -> list[list[str]]:
    return sorted(record_of(locale)[peer])


def composed(rows: list[list[str]]) -> list[list[str]]:
    """As whatstk writes texts: compatibility forms."""
    return sorted([[time, name, unicodedata.normalize("NFKC", text)] for time, name, text in rows])


def folded(rows: list[list[str]]) -> list[list[str]]:
    """As chat-miner writes texts: compatibility forms, lines of one message in one."""
    return sorted(
        [[time, name, "".join(unicodedata.normalize("NFKC", text).split())] for time, name, text in rows]
    )


def test_there_are_fourteen_locales() -> None:
    assert (len(LOCALES), len(readable_by("whatstk")), len(readable_by("chat-miner"))) == (14, 14, 11)


@pytest.mark.parametrize("locale", LOCALES)
def test_whatsapp_agrees_with_whatstk(locale: str) -> None:
    assert composed(ours(locale)) == recorded(locale, "whatstk")


@pytest.mark.parametrize("locale", readable_by("chat-miner"))
def test_whatsapp_agrees_with_chat_miner(locale: str) -> None:
    assert folded(ours(locale)) == folded(recorded(locale, "chat-miner"))
