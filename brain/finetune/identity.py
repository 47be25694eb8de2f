"""What makes a run this run and no other: its options and the contents of its data."""

import json
from typing import Any

from brain.errors import ConfigError
from brain.finetune.config import TrainConfig
from brain.finetune.sessions import hash_of, split_rate

MAY_CHANGE = {
    "resume",
    "eval_every",
    "save_every",
    "patience",
    "num_threads",
    "optim.epochs",
}  # between two sittings of a run
MAY_CHANGE_BELOW = ("memorisation.",)  # looked at only after training; canaries stand in the data


def identity(config: TrainConfig) -> dict[str, Any]:
    """The options, and the SHA-256 of every file, as they stand in run.json."""
    files = (*config.data, *config.dev, *config.general, *config.replay.data)
    return {
        "config": config.model_dump(mode="json"),
        "data": {name: hash_of(split_rate(name)[0]) for name in files},
    }


def require_same_run(config: TrainConfig) -> None:
    """Look at what the folder of the run holds already.

    Raises:
        ConfigError: a run that this one would overwrite, or to be resumed with other options or data.
    """
    out = config.out
    path = out / "run.json"
    if not path.exists() or not any(out.glob("state*/position.json")):
        return
    if not config.resume:
        raise ConfigError(f"{out} holds a run already; go on with --resume or name another --out")
    before, now = json.loads(path.read_text()), identity(config)
    old, new = _flat(before["config"]), _flat(now["config"])
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key) and not _may_change(key):
            raise ConfigError(
                f"{out}: cannot resume with another {key}, {new.get(key)} instead of {old.get(key)}; "
                f"name another --out"
            )
    if before["data"] != now["data"]:
        raise ConfigError(f"{out}: cannot resume, a data file has changed since; name another --out")


def _may_change(key: str) -> bool:
    return key in MAY_CHANGE or (key.startswith(MAY_CHANGE_BELOW) and key != "memorisation.canaries")


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options by dotted key."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        inner = isinstance(value, dict)
        out |= _flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return out
