"""How the cost of a reply grows with candidates, history, chats and the model: JSON and plots.

    python benchmarks/peers/growth.py [--runs 3] [--sizes starter,small,medium] [--out DIR]

All through `banter bench`, one process per point. The dotted line grows in proportion from the first point.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tables
from alternate import ROOT
from checkpoints import SIZES, make

CANDIDATES, HISTORY, CHATS = (1, 4, 16, 64), (16, 64, 128, 256, 512, 900), (1, 4, 16, 64)


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: seconds per reply over what is varied."""

    name: str
    along: str
    x: list[float]
    seconds: list[float]
    least: list[float]
    most: list[float]


def bench(*args: object) -> dict[str, Any]:
    """One call of `banter bench`."""
    command = [sys.executable, "-m", "bots", "bench", *map(str, args), "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def seconds_of(report: dict[str, Any]) -> tuple[float, float, float]:
    """Median, least and most seconds per reply, from either kind of report."""
    if "seconds" in report:
        spread = report["seconds"]
        return spread["median"], spread["min"], spread["max"]
    spread = report["spread"]
    return 1 / spread["median"], 1 / spread["max"], 1 / spread["min"]


def series(
    name: str, along: str, points: Sequence[float], measure: Callable[[float], dict[str, Any]]
) -> Series:
    """Measure one curve."""
    found = []
    for point in points:
        found.append(seconds_of(measure(point)))
        print(f"{name}, {along} {point:g}: {found[-1][0]:.3f} s", file=sys.stderr, flush=True)
    median, least, most = (list(column) for column in zip(*found, strict=True))
    return Series(name, along, list(points), median, least, most)


def all_series(folder: Path, runs: int, models: dict[str, tuple[float, str]]) -> list[Series]:
    """The curves of docs/performance.md; `models` has millions of weights and name by size."""
    reply = ("reply", "--model", folder, "--reverse", folder, "--no-floor", "--runs", runs)
    serve = ("serve", "--model", folder, "--reverse", folder, "--runs", runs)
    by_weight = dict(models.values())
    return [
        series("16 candidates, MMI", "history", HISTORY, lambda n: bench(*reply, "--history", int(n))),
        series("history 128, MMI", "candidates", CANDIDATES, lambda n: bench(*reply, "--candidates", int(n))),
        series("1 candidate", "chats", CHATS, lambda n: bench(*serve, "--chats", int(n), "--candidates", 1)),
        series(
            "16 candidates, MMI",
            "chats",
            CHATS,
            lambda n: bench(*serve, "--chats", int(n), "--candidates", 16),
        ),
        series(
            "16 candidates, MMI",
            "million weights",
            sorted(by_weight),
            lambda n: bench("reply", "--model", by_weight[n], "--no-floor", "--runs", runs),
        ),
    ]


def plot(curves: Sequence[Series], file: Path) -> None:
    """One panel per thing varied, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = list(dict.fromkeys(curve.along for curve in curves))
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.6), layout="constrained")
    for axis, along in zip(axes, panels, strict=True):
        for curve in (curve for curve in curves if curve.along == along):
            below = [median - least for median, least in zip(curve.seconds, curve.least, strict=True)]
            above = [most - median for median, most in zip(curve.seconds, curve.most, strict=True)]
            line = axis.errorbar(curve.x, curve.seconds, (below, above), marker="o", label=curve.name)
            straight = [curve.seconds[0] * x / curve.x[0] for x in curve.x]
            if along != "chats":  # seconds per reply fall there
                axis.plot(curve.x, straight, ":", color=line[0].get_color(), alpha=0.6)
        axis.set(xscale="log", yscale="log", xlabel=along, ylabel="seconds per reply")
        axis.legend()
    figure.savefig(file, dpi=120)


def main() -> None:
    """Make the checkpoints, measure, write growth.json and growth.png."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--base", choices=SIZES, default="small", help="the model of the other curves")
    parser.add_argument("--sizes", default="starter,small,medium", help="of the model curve, by commas")
    parser.add_argument("--out", type=Path, default=Path("runs/growth"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        models = {}
        for size in dict.fromkeys([*args.sizes.split(","), args.base]):
            name = size if size == "starter" else str(make(Path(scratch) / size, size))
            models[size] = (_million_weights(size), name)
        curve_models = {size: models[size] for size in args.sizes.split(",")}
        curves = all_series(Path(models[args.base][1]), args.runs, curve_models)
    args.out.mkdir(parents=True, exist_ok=True)
    content = {**tables.circumstances(args.runs), "base": args.base, "curves": [asdict(c) for c in curves]}
    (args.out / "growth.json").write_text(json.dumps(content, indent=1) + "\n")
    plot(curves, args.out / "growth.png")


def _million_weights(size: str) -> float:
    """Of the matrices."""
    layers, width, rows = (6, 256, 8192) if size == "starter" else (*SIZES[size][:2], 50257)
    return (12 * layers * width**2 + rows * width) / 1e6


if __name__ == "__main__":
    main()
