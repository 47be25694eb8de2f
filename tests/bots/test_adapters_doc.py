"""The adapter in docs/adapters.md is what it says: complete, short, and it passes the kit."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bots.messages import Adapter, ChatKey
from bots.testing import Fault, check_adapter

DOCUMENT = Path(__file__).parents[2] / "docs" / "adapters.md"
MAX_LINES = 45  # without imports and blank lines


class Folders:
    """The two folders of the example, seen from the person."""

    keeps_unheard = True
    chat = ChatKey("folder", "bot", "1")

    def __init__(self, folder: Path) -> None:
        self.folder, self.num_said = folder, 0
        for name in ("in", "out"):
            (folder / name).mkdir()

    async def say(self, text: str) -> None:
        """Put a file there at once, as a person's program would."""
        self.num_said += 1
        draft = self.folder / "draft"
        draft.write_text(text, encoding="utf-8")
        draft.rename(self.folder / "in" / f"{self.num_said:06}.txt")

    def texts(self) -> Sequence[str]:
        """What the bot wrote."""
        files = sorted((self.folder / "out").iterdir(), key=lambda file: file.stat().st_mtime_ns)
        return [file.read_text(encoding="utf-8") for file in files]

    def num_acknowledged(self) -> int:
        """Files that are gone again."""
        return self.num_said - len(list((self.folder / "in").iterdir()))

    def set_fault(self, fault: Fault | None) -> bool:
        """Folders do not fail."""
        return False


@pytest.fixture
def code() -> str:
    [found] = re.findall(
        r"<!-- example -->\n```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL
    )
    return str(found)


def test_the_example_is_short(code: str) -> None:
    body = code[code.index("class FolderConfig") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= MAX_LINES


async def test_the_example_passes_the_kit(code: str, tmp_path: Path) -> None:
    room: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), room)
    config = room["FolderConfig"](folder=tmp_path, poll_s=0.02)
    make: Callable[[], Adapter] = lambda: room["FolderAdapter"](config)  # noqa: E731 - a name for the annotation
    await check_adapter(make, Folders(tmp_path))
