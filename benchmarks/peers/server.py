"""What each peer's process does: one run for each line on stdin, one JSON object per line on stdout."""

import argparse
import gc
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

VOCAB_SIZE = 50257
END_ID = VOCAB_SIZE - 1

Stages = dict[str, float]


def arguments(*flags: tuple[str, Sequence[str]]) -> argparse.Namespace:
    """The sizes of a reply, and flags of the peer's own with their choices."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    for name, default in (("history", 128), ("candidates", 16), ("new-tokens", 20), ("source", 30)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for flag, choices in flags:
        parser.add_argument(flag, choices=choices, default=choices[0])
    parser.add_argument("--chats", type=int, default=1)
    return parser.parse_args()


def serve(run: Callable[[], Stages], num_replies: int = 1) -> None:
    """Answer until stdin ends; `run` returns the seconds of each of its stages."""
    for _ in sys.stdin:
        gc.collect()
        gc.disable()
        stages = run()
        gc.enable()
        seconds = sum(stages.values())
        answer = {"seconds": {"median": seconds}, "stages": stages, "replies_per_s": num_replies / seconds}
        print(json.dumps(answer), flush=True)


def random_ids(num_tokens: int) -> list[int]:
    """A fresh prompt or source that closes with the end token."""
    return [*(random.randrange(END_ID) for _ in range(num_tokens - 1)), END_ID]


class Clock:
    """Seconds since it was made or last read."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def read(self) -> float:
        """Read and start again."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        return seconds
