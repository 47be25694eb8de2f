"""Peers side by side: a process for each, one run each per round, so that a machine's drift meets all."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REST_S = 0.3  # between runs: threads that still spin for the last peer fall asleep


class Peer:
    """A process that answers each line with one run; waits without computing in between."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name, self.command = name, command
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        if error is not None:
            self._process.kill()
        self._process.wait()

    def run(self) -> dict[str, Any]:
        """One run; what the peer tells of it."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended: {' '.join(self.command)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def script(name: str, *args: object) -> list[str]:
    """The command of one of the scripts in this folder."""
    return [sys.executable, str(HERE / name), *map(str, args)]


def banter_bench(*args: object) -> list[str]:
    """The command of ours, waiting for lines."""
    return [sys.executable, "-m", "bots", "bench", *map(str, args), "--json", "--each-line", "--runs", "1"]


def alternate(commands: Mapping[str, Sequence[str]], num_rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Start all peers and let each run once uncounted, then once per round; each round begins with another.

    Returns:
        The answers by peer, one per round.
    """
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    with ExitStack() as stack:
        peers = []
        for name, command in commands.items():
            print(f"starting {name}", file=sys.stderr, flush=True)
            peers.append(stack.enter_context(Peer(name, command)))
            peers[-1].run()
        for number in range(num_rounds):
            first = number % len(peers)
            for peer in (*peers[first:], *peers[:first]):
                time.sleep(REST_S)
                answers[peer.name].append(peer.run())
            print(f"round {number + 1} of {num_rounds}", file=sys.stderr, flush=True)
    return answers
