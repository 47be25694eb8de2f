"""Plain text: `Name: text` lines; an empty line or a line of dashes begins a new session."""

import re
from collections.abc import Iterator
from pathlib import Path

from brain.errors import DataError
from brain.finetune.sources.messages import Export, Message, Reading
from brain.finetune.sources.text_files import lines, opener

MAX_NAME = 60
_LINE = re.compile(rf"\s*([^:\uff1a\n]{{1,{MAX_NAME}}}?)\s*[:\uff1a](?:\s+(.*)|([^/\s].*)|)$", re.DOTALL)
_BREAK = re.compile(r"\s*([-=*#_~]{3,}\s*)?")


def read(path: Path, reading: Reading) -> Export:
    """The lines of a script; an indented line or one without a name goes on with the message above."""
    return Export(_messages(path, reading))


def _messages(path: Path, reading: Reading) -> Iterator[Message]:
    chat, said = 1, None
    has_any = False
    for line_no, line in lines(path, opener(path, reading.on_bytes)):
        if _BREAK.fullmatch(line):
            if said:
                yield said
                chat, said = chat + 1, None
            continue
        found = None if said and line[:1] in " \t" else _LINE.match(line)
        if found and found[1].strip():
            if said:
                yield said
            has_any = True
            said = Message(found[1].strip(), found[2] or found[3] or "", chat=str(chat))
        elif said:
            said = Message(said.speaker, f"{said.text}\n{line}", chat=said.chat)
        else:
            raise DataError(path, line_no, "no speaker; each line should read `Name: text`")
    if said:
        yield said
    if not has_any:
        raise DataError(path, 0, "the file is empty")
