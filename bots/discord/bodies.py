"""Pure conversions of outgoing messages and commands into the JSON that Discord takes."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from bots.messages import Outgoing, Table, Usage, storable

MAX_LEN = 2000
MAX_NONCE_LEN = 25
BUTTONS = {"banter:up": "👍", "banter:down": "👎"}  # custom id -> the emoji that a press stands for
BUSY = "Too much is waiting; try again in a moment."
NOBODY: dict[str, Any] = {"parse": [], "replied_user": False}  # allowed mentions


def body_from_outgoing(message: Outgoing) -> dict[str, Any]:
    """The JSON of one message; nobody is pinged, whatever stands in it."""
    body: dict[str, Any] = {
        "content": storable(message.text) + _block(message.table, MAX_LEN - len(message.text)),
        "allowed_mentions": NOBODY,
    }
    if message.media_url.startswith("https://"):
        body["embeds"] = [{"image": {"url": message.media_url}}]
    if message.asks_feedback:
        buttons = [
            {"type": 2, "style": 2, "custom_id": custom_id, "emoji": {"name": emoji}}
            for custom_id, emoji in BUTTONS.items()
        ]
        body["components"] = [{"type": 1, "components": buttons}]
    return body


def post_from_outgoing(message: Outgoing) -> dict[str, Any]:
    """The same with what only ordinary messages have: a nonce that drops repeats, what it replies to."""
    body = body_from_outgoing(message)
    if message.nonce:
        fits = len(message.nonce) <= MAX_NONCE_LEN
        body["nonce"] = message.nonce if fits else sha256(message.nonce.encode()).hexdigest()[:MAX_NONCE_LEN]
        body["enforce_nonce"] = True
    if message.reply_to:
        body["message_reference"] = {"message_id": message.reply_to, "fail_if_not_exists": False}
    return body


def commands_from_usages(usages: Sequence[Usage]) -> list[dict[str, Any]]:
    """Slash commands with one free argument each, since words may follow that are no choices."""
    return [
        {
            "type": 1,
            "name": usage.name.lower()[:32],
            "description": usage.summary[:100] or usage.name,
            "options": [
                {
                    "type": 3,
                    "name": "argument",
                    "description": _choices(usage.choices),
                    "required": False,
                    "autocomplete": bool(usage.choices),
                }
            ],
        }
        for usage in usages
    ]


def _choices(choices: Sequence[str]) -> str:
    return ("one of: " + ", ".join(choices) if choices else "what follows the command, if anything")[:100]


def _block(table: Table | None, room: int) -> str:
    """As many rows of a table as fit, aligned in a code block."""
    if table is None:
        return ""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip().replace("`", "'") for row in rows]
    lines = [f"> {line}" if place == table.marked else f"  {line}" for place, line in enumerate(lines, -1)]
    while lines and len("\n".join(lines)) + 9 > room:
        lines.pop()
    return "\n```\n" + "\n".join(lines) + "\n```" if lines else ""
