"""The losses of a run as a picture, when matplotlib is installed."""

import importlib.util
import json
from pathlib import Path

HINT = "no loss plot: install matplotlib for one, pip install 'banterbrain[plots]'"


def write_plot(metrics: Path, picture: Path) -> bool:
    """Draw training and validation loss (nats per token) over the steps.

    Returns:
        Whether it was drawn; without matplotlib, or with nothing to draw, it is not.
    """
    if not metrics.exists():
        return False
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    if importlib.util.find_spec("matplotlib") is None or not any("loss" in row for row in rows):
        return False
    from matplotlib.figure import Figure  # without pyplot, which would look for a display

    axes = (figure := Figure(figsize=(7, 4), layout="constrained")).subplots()
    for key, style in (("loss", "-"), ("val_loss", "o-")):
        points = [(row["step"], row[key]) for row in rows if key in row]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=key, markersize=4, linewidth=1)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("nats per token")
    axes.legend()
    figure.savefig(picture, dpi=120)
    return True
