"""How the connection is, told when it changes, and how long to wait after failures."""

from bots.errors import AdapterError, RetryAfter
from bots.messages import Health, Sink

_FIRST_S = 0.5
_LONGEST_S = 900.0  # that we believe a platform


class Pulse:
    """Counts failures in a row; the pause doubles up to `max_s`, and is at least what the platform asks."""

    def __init__(self, sink: Sink, max_s: float) -> None:
        """Report to `sink`."""
        self._sink, self._max_s = sink, max_s
        self._last: Health | None = None
        self._pause_s = min(_FIRST_S, max_s)

    def is_up(self) -> None:
        """It works."""
        self._pause_s = min(_FIRST_S, self._max_s)
        self._tell(Health("connected"))

    def is_down(self, error: AdapterError) -> float:
        """It does not; seconds to wait before the next attempt."""
        self._tell(Health("degraded", str(error)))
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, self._max_s)
        return max(pause_s, min(error.seconds, _LONGEST_S)) if isinstance(error, RetryAfter) else pause_s

    def starts(self) -> None:
        """It is being tried for the first time."""
        self._tell(Health("connecting"))

    def _tell(self, health: Health) -> None:
        if health != self._last:
            self._last = health
            self._sink.report(health)
