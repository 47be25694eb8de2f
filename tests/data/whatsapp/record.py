"""Writes the exports of this folder and what whatstk and chat-miner read from them.

Both bring a data-frame stack of their own, so they are not among our requirements. Run it, after a change, in
an environment of its own: pip install whatstk==0.9.1 chat-miner==0.6.0, then python record.py.
"""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

# ruff: noqa: RUF001  # exports are written as phones write them

HERE = Path(__file__).parent
NARROW, MARK = "\u202f", "\u200e"
SAID = {
    "en-US": ["Did you feed the cat?", "Twice. She lies.", "Note: dinner at 7: bring bread", "ok 👍"],
    "en-GB": [
        "Kettle's on.",
        "Two minutes away",
        "https://example.org/a:b is the map",
        "Lovely\nSee you then",
    ],
    "de": ["Hast du den Schlüssel?", "Ja, liegt unter der Matte.", "Na gut: bis später", "Tschüss"],
    "es": ["¿Vienes mañana?", "Claro que sí", "Trae pan: dos barras", "¡Hecho!"],
    "pt-BR": ["Cadê você?", "Chegando já", "Lista: café, açúcar", "Beleza"],
    "fr": ["Tu es où ?", "Devant la gare", "Attention : il pleut", "J'arrive"],
    "it": ["Hai chiuso la porta?", "Certo", "Ricorda: le chiavi", "Va bene"],
    "nl": ["Waar ben je?", "Bijna thuis", "Let op: het regent", "Tot zo"],
    "ru": ["Ты где?", "Уже иду", "Список: хлеб и чай", "Хорошо"],
    "tr": ["Neredesin?", "Yoldayım", "Not: ekmek al", "Tamam"],
    "hi": ["तुम कहाँ हो?", "आ रहा हूँ", "सूची: चाय और दूध", "ठीक है"],
    "he": ["איפה אתה?", "בדרך", "רשימה: לחם וחלב", "בסדר"],
    "zh": ["你在哪里？", "快到了", "清单: 茶和面包", "好的"],
    "ja": ["どこにいるの？", "もうすぐ着くよ", "メモ: パンとお茶", "了解"],
}
NAMES = {
    "ru": ("Аня Белова", "Иван"),
    "he": ("דנה", "יוסי"),
    "zh": ("小明", "小红"),
    "ja": ("さくら", "健"),
    "hi": ("आशा", "रवि"),
}
# Pattern of the stamp for strftime, whether it stands in brackets, and whatstk's name for the same.
FORMS = {
    "en-US": ("{m}/{d}/{yy}, {h12}:{M}" + NARROW + "{AP}", False, "%m/%d/%y, %I:%M %p - %name:"),
    "en-GB": ("{dd}/{mm}/{y}, {H}:{M}", False, "%d/%m/%Y, %H:%M - %name:"),
    "de": ("{dd}.{mm}.{yy}, {H}:{M}", False, "%d.%m.%y, %H:%M - %name:"),
    "es": ("{d}/{m}/{yy}, {h24}:{M}", False, "%d/%m/%y, %H:%M - %name:"),
    "pt-BR": ("{dd}/{mm}/{y} {H}:{M}", False, "%d/%m/%Y %H:%M - %name:"),
    "fr": ("{dd}/{mm}/{y} à {H}:{M}", False, "%d/%m/%Y à %H:%M - %name:"),
    "it": ("{dd}/{mm}/{yy}, {H}:{M}:{S}", True, "[%d/%m/%y, %H:%M:%S] %name:"),
    "nl": ("{dd}-{mm}-{y} {H}:{M}", False, "%d-%m-%Y %H:%M - %name:"),
    "ru": ("{dd}.{mm}.{y}, {H}:{M}:{S}", True, "[%d.%m.%Y, %H:%M:%S] %name:"),
    "tr": ("{d}.{mm}.{y} {H}:{M}", False, "%d.%m.%Y %H:%M - %name:"),
    "hi": ("{dd}/{mm}/{yy}, {h12}:{M} {ap}", False, "%d/%m/%y, %I:%M %p - %name:"),
    "he": ("{d}.{m}.{y}, {H}:{M}", False, "%d.%m.%Y, %H:%M - %name:"),
    "zh": ("{y}/{m}/{d} {H}:{M}", False, "%Y/%m/%d %H:%M - %name:"),
    "ja": ("{y}/{mm}/{dd} {H}:{M}:{S}", True, "[%Y/%m/%d %H:%M:%S] %name:"),
}


def stamp(pattern: str, at: datetime) -> str:
    hour = at.hour % 12 or 12
    words = {
        "d": at.day, "m": at.month, "dd": f"{at.day:02}", "mm": f"{at.month:02}", "y": at.year,
        "yy": f"{at:%y}", "H": f"{at.hour:02}", "h24": at.hour, "h12": hour,
        "M": f"{at.minute:02}", "S": f"{at.second:02}",
        "AP": f"{at:%p}", "ap": f"{at:%p}".lower(),
    }  # fmt: skip
    return pattern.format(**words)


def export(locale: str) -> str:
    pattern, has_brackets, _ = FORMS[locale]
    at, lines = datetime(2024, 2, 9, 9, 58, 7, tzinfo=UTC), []
    for number in range(40):
        at += timedelta(hours=7, minutes=37, seconds=11)
        name = NAMES.get(locale, ("Anna Lee", "Ben"))[number % 3 % 2]
        text = SAID[locale][number % 4]
        head = f"[{stamp(pattern, at)}]" if has_brackets else f"{stamp(pattern, at)} -"
        lines.append(f"{head} {name}: {text}\n")
    return "".join(lines)


def by_whatstk(path: Path, form: str) -> list[list[str]]:
    from whatstk import WhatsAppChat

    frame = WhatsAppChat.from_source(str(path), hformat=form).df
    return [[row.date.isoformat(), row.username, row.message] for row in frame.itertuples()]


def by_chat_miner(path: Path) -> list[list[str]]:
    from chatminer.chatparsers import WhatsAppParser

    parser = WhatsAppParser(str(path))
    parser.parse_file()
    with tempfile.NamedTemporaryFile() as file:
        parser.parsed_messages.write_to_json(file.name)
        rows = json.loads(Path(file.name).read_text(encoding="utf-8"))
    return [[row["timestamp"], row["author"], row["message"]] for row in rows]


def main() -> None:
    for locale, (_, _, form) in FORMS.items():
        path = HERE / f"{locale}.txt"
        path.write_text(export(locale), encoding="utf-8")
        read: dict[str, object] = {}
        for name, peer in (
            ("whatstk", lambda p=path, f=form: by_whatstk(p, f)),
            ("chat-miner", lambda p=path: by_chat_miner(p)),
        ):
            try:
                read[name] = peer()
            except Exception as error:  # what a peer cannot read is said, and not compared
                read[name] = f"{type(error).__name__}: {error}"
        kept = {
            name: rows if isinstance(rows, list) else rows.splitlines()[0][:100]
            for name, rows in read.items()
        }
        (HERE / f"{locale}.json").write_text(
            json.dumps(kept, ensure_ascii=False, indent=0) + "\n", encoding="utf-8"
        )
        print(locale, {name: len(rows) if isinstance(rows, list) else rows for name, rows in kept.items()})


if __name__ == "__main__":
    main()
