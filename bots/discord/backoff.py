"""Pauses between attempts."""

import random


class Backoff:
    """Doubles from one failure to the next, up to a limit, and spreads so that no two fall together."""

    def __init__(self, max_s: float) -> None:
        """Begin at a quarter of a second."""
        self._max_s, self._num_failures = max_s, 0

    def reset(self) -> None:
        """It worked."""
        self._num_failures = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        longest: float = min(self._max_s, 0.25 * 2 ** min(self._num_failures, 12))
        self._num_failures += 1
        return longest * random.uniform(0.5, 1.0)
