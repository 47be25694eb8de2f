"""Sessions to their files, all or nothing."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from brain.errors import DataError


def dev_path(out: Path) -> Path:
    """Where the held-out sessions go: chats.jsonl has chats.dev.jsonl beside it."""
    return out.with_name(f"{out.stem}.dev{out.suffix}")


def write(bodies: Iterator[str], num_train: int, out: Path, has_dev: bool) -> None:
    """Write the first `num_train` lines to `out` and the rest beside it; both appear whole or not at all.

    The files are for their owner only: they hold what people said in private.

    Raises:
        DataError: a file cannot be written; nothing is left behind.
    """
    paths = [out, dev_path(out)] if has_dev else [out]
    drafts: list[Path] = []
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{path.name}.")
            drafts.append(Path(name))
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                for at, body in enumerate(bodies, 1):
                    file.write(f"{body}\n")
                    if path is out and at == num_train:
                        break
        for draft, path in zip(drafts, paths, strict=True):
            os.replace(draft, path)
    except OSError as error:
        raise DataError(out, 0, f"cannot be written: {error.strerror or error}") from error
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
