"""Rounds of answers to a table: medians, spreads, ratios, and where and when they were taken."""

import datetime as dt
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

LOAD_BEFORE = os.getloadavg()[0]
THREADING = ("OMP_", "KMP_", "GOMP_", "MKL_")  # variables that steer how threads wait
PACKAGES = ("torch", "transformers", "ctranslate2", "tokenizers")


@dataclass(frozen=True, slots=True)
class Row:
    """One peer: median and range of what was measured, and its median ratio to others, round by round."""

    name: str
    median: float
    min: float
    max: float
    ratios: dict[str, float]


def rows(values: Mapping[str, Sequence[float]], ratios: Sequence[tuple[str, str, str]]) -> list[Row]:
    """Make the rows.

    Args:
        values: one per round, by peer.
        ratios: title, numerator and denominator: names of peers, "it" for the row's own. A ratio is left out
            when a peer that it needs did not run.
    """
    wanted = [ratio for ratio in ratios if {"it", *values} >= set(ratio[1:])]
    return [_row(name, {**values, "it": mine}, wanted) for name, mine in values.items()]


def _row(name: str, values: Mapping[str, Sequence[float]], ratios: Sequence[tuple[str, str, str]]) -> Row:
    mine = values["it"]
    quotients = {
        title: statistics.median(a / b for a, b in zip(values[above], values[below], strict=True))
        for title, above, below in ratios
    }
    return Row(name, statistics.median(mine), min(mine), max(mine), quotients)


def markdown(title: str, unit: str, table: Sequence[Row]) -> str:
    """A table in Markdown."""
    ratios = list(table[0].ratios)
    head = ["", unit, "least", "most", *ratios]
    lines = [f"### {title}", "", _line(head), _line(["---"] * len(head))]
    for row in table:
        figures = [f"{value:.3g}" for value in (row.median, row.min, row.max)]
        lines.append(_line([row.name, *figures, *(f"{row.ratios[ratio]:.2f}" for ratio in ratios)]))
    return "\n".join([*lines, ""])


def circumstances(num_rounds: int) -> dict[str, Any]:
    """When, where and with what."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": [round(load, 2) for load in (LOAD_BEFORE, os.getloadavg()[0])],
        "environment": {key: os.environ[key] for key in sorted(os.environ) if key.startswith(THREADING)},
        "rounds": num_rounds,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def write(out: Path, where: Mapping[str, Any], parts: Mapping[str, str], content: Mapping[str, Any]) -> None:
    """Write table.md and table.json into `out`, and show the first.

    Args:
        where: as `circumstances` gives it.
        parts: tables in Markdown by name, in order.
        content: what else table.json has to hold.
    """
    out.mkdir(parents=True, exist_ok=True)
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    threading = " ".join(f"{key}={value}" for key, value in where["environment"].items())
    told = (
        f"`{where['command']}`, {where['date']}; {where['processor']}, {where['cores']} cores, "
        f"{where['threads']} threads, load {where['load_average'][0]:.1f} before and "
        f"{where['load_average'][1]:.1f} after; medians of {where['rounds']} rounds, alternated; "
        f"{threading or 'no thread settings'}; "
        f"Python {where['python']}, {versions}."
    )
    text = "\n".join([*parts.values(), told, ""])
    (out / "table.md").write_text(text, encoding="utf-8")
    (out / "table.json").write_text(json.dumps({**where, **content}, indent=1, default=asdict) + "\n")
    print(text)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    names = [line for line in file.read_text().splitlines() if "model name" in line] if file.is_file() else []
    return names[0].split(":")[1].strip() if names else platform.processor()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
