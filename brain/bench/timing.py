"""Seconds and mebibytes: how they are taken, and what is told of many."""

import gc
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Tell = Callable[[str], None]  # shows a person how far the work is


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the runs."""

    median: float
    min: float
    max: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile_95(values: Sequence[float]) -> float:
    """The value that one in twenty exceeds; of a single value that value."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect garbage before, not meanwhile."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def peak_mib() -> float:
    """The most memory this process has held in RAM so far, mapped files included; 0 where nobody counts it.

    Linux is asked for the process's own peak: what getrusage tells may be that of whoever started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def resident_mib() -> float:
    """The memory this process holds in RAM now, mapped files included; 0 where nobody counts it."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024
