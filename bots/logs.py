"""Log lines on stderr: one JSON object or one line of text each, with a request id and without secrets.

What people write is never logged above DEBUG, and nothing here logs it at all.
"""

import json
import logging
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime

from bots.options import LogSettings
from brain.encoding import clean_turn

request_id: ContextVar[str] = ContextVar("request_id", default="")
HIDDEN = "<secret>"
_QUIET = ("httpx", "httpcore", "aiosqlite", "sqlalchemy", "asyncio", "alembic", "aiohttp.access")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def set_up(settings: LogSettings, secrets: Iterable[str] = ()) -> None:
    """Make the root logger write so; libraries that log addresses or statements are kept quiet."""
    handler = logging.StreamHandler(sys.stderr)
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    handler.setFormatter(Redacting(as_json, secrets))
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class Redacting(logging.Formatter):
    """Formats a record and then hides every secret in it, tracebacks included."""

    def __init__(self, as_json: bool, secrets: Iterable[str]) -> None:
        """`secrets` shorter than four characters are left: hiding them would make lines unreadable."""
        super().__init__()
        self._as_json = as_json
        self._secrets = sorted({secret for secret in secrets if len(secret) > 3}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        values: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := request_id.get():
            values["request"] = request
        values |= {key: value for key, value in vars(record).items() if key not in _USUAL}
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        line = json.dumps(values, ensure_ascii=False, default=str) if self._as_json else _text(values)
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN).replace(json.dumps(secret)[1:-1], HIDDEN)
        return line


def _text(values: dict[str, object]) -> str:
    head = [str(values.pop(key)) for key in ("time", "level", "logger", "message")]
    traceback = str(values.pop("traceback", ""))
    extra = [f"{key}={clean_turn(str(value))}" for key, value in values.items()]
    return " ".join([*map(clean_turn, head), *extra]) + (f"\n{traceback}" if traceback else "")
