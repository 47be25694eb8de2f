"""The name of a source to the function that reads it."""

from pathlib import Path

from brain.errors import DataError
from brain.finetune.sources import card, discord, plain, roles, table, telegram, whatsapp
from brain.finetune.sources.config import SourceName
from brain.finetune.sources.messages import Export, Reader, Reading

READERS: dict[SourceName, Reader] = {
    "telegram": telegram.read,
    "whatsapp": whatsapp.read,
    "discord": discord.read,
    "csv": table.read,
    "sharegpt": roles.read,
    "chatml": roles.read,
    "card": card.read,
    "plain": plain.read,
}


def read(source: SourceName, path: Path, reading: Reading) -> Export:
    """Begin to read one export.

    Raises:
        DataError: there is no such file, or it is not of this format; also while its messages are read.
    """
    if not path.is_file():
        raise DataError(path, 0, "there is no such file" if not path.exists() else "is no file")
    return READERS[source](path, reading)
