"""What a log line shows, and what never."""

import json
import logging

from bots.logs import HIDDEN, Redacting, request_id

SECRET = 'token:"with\\quotes'


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, message, args, None)
    made.__dict__.update(extra)
    return made


def test_a_line_is_one_json_object_with_the_request() -> None:
    token = request_id.set("7.2")
    line = json.loads(Redacting(True, ()).format(record("sent %d", 3, seconds=0.5)))
    request_id.reset(token)
    assert (line["message"], line["request"], line["seconds"]) == ("sent 3", "7.2", 0.5)


def test_secrets_are_hidden_wherever_they_stand() -> None:
    try:
        raise RuntimeError(f"at https://api/{SECRET}")
    except RuntimeError as error:
        broken = record("asked %s", SECRET, url=SECRET)
        broken.exc_info = (type(error), error, error.__traceback__)
    for as_json in (True, False):
        line = Redacting(as_json, [SECRET]).format(broken)
        assert "quotes" not in line
        assert line.count(HIDDEN) >= 3


def test_a_line_of_text_steers_no_terminal() -> None:
    assert "\x1b" not in Redacting(False, ()).format(record("a\x1b[2J", reason="b\x1b[2J"))
