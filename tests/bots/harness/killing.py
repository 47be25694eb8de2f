"""The kill test for any platform: people write, the bot is killed at random moments, the answers are counted.

To try an adapter, give `killed_again_and_again`
  - a platform with the two methods of `Crowd`, served by the test itself so that it outlives the bot;
  - a folder with a config.toml that enables the adapter and names its server. Start from `CONFIG`, which
    switches off what would be in the way (limits per person, merging, the policy for old messages); secrets
    go into `variables`, as BANTER_<ADAPTER>__TOKEN;
and look at the `Tally` it returns. Each line is "chat C line N"; the child answers "re: " and the same. A
platform that drops repeats by nonce must show none; on others `repeated` counts the documented window.
"""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

CHILD = Path(__file__).with_name("child.py")
CONFIG = """\
[run]
stale_after_s = 0.0
merge_above = 0
[gates]
person_burst = 0
chat_burst = 0
"""
FAKE = """\
[fake]
enabled = true
port = {port}
"""


class Crowd(Protocol):
    """A platform with people on it, seen by the test."""

    async def say(self, chat: int, text: str) -> None:
        """Somebody writes in a chat."""

    def heard(self, chat: int) -> Sequence[str]:
        """All that the bot's messages said in a chat, oldest first."""


@dataclass(slots=True)
class Tally:
    """What came of it."""

    num_kills: int = 0
    missing: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    disordered: list[int] = field(default_factory=list)  # chats whose answers are out of order
    log: str = ""  # what the children wrote to stderr

    def __str__(self) -> str:
        return (
            f"{self.num_kills} kills: {len(self.missing)} missing, {len(self.repeated)} repeated, "
            f"{len(self.disordered)} chats out of order"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How many people, lines and kills; the moments are drawn from `seed`."""

    num_chats: int = 30
    num_lines: int = 300
    num_kills: int = 20
    seconds_per_reply: float = 0.02
    longest_life_s: float = 0.6  # of one process, after it said that it is connected
    start_s: float = 20.0  # until it says so
    timeout_s: float = 60.0  # for the rest of the answers after the last kill
    seed: int = 1


def install(folder: Path, distribution: str, entry_point: str) -> Path:
    """Lay a distribution with one adapter, as "fake = wire:WireAdapter", into a folder for PYTHONPATH."""
    meta = folder / f"{distribution}-1.0.dist-info"
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(f"[banterbrain.adapters]\n{entry_point}\n")
    return folder


async def started(folder: Path, seconds: float, variables: Mapping[str, str]) -> asyncio.subprocess.Process:
    """The bot in a process of its own, in `folder`; its stderr goes to child.log there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BANTER_")}
    with (folder / "child.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(CHILD),
            "config.toml",
            str(seconds),
            cwd=folder,
            env={**kept, **variables},
            stderr=log,
        )


async def killed_again_and_again(
    crowd: Crowd, folder: Path, plan: Plan, variables: Mapping[str, str]
) -> Tally:
    """Let people write while the bot is killed and started; then wait until all is answered, and count."""
    draw, tally = random.Random(plan.seed), Tally()
    lines = [(number % plan.num_chats, number // plan.num_chats) for number in range(plan.num_lines)]
    spoken = asyncio.ensure_future(_speak(crowd, lines, plan, random.Random(plan.seed + 1)))
    try:
        for _ in range(plan.num_kills):
            bot = await started(folder, plan.seconds_per_reply, variables)
            await connected(folder, tally.num_kills + 1, plan.start_s)
            await asyncio.sleep(draw.uniform(0.0, plan.longest_life_s))
            bot.send_signal(signal.SIGKILL)
            await bot.wait()
            tally.num_kills += 1
        bot = await started(folder, plan.seconds_per_reply, variables)
        await spoken
        for _ in range(int(plan.timeout_s / 0.1)):
            if not _missing(crowd, lines):
                break
            await asyncio.sleep(0.1)
        bot.terminate()
        await bot.wait()
    finally:
        spoken.cancel()
    _count(crowd, lines, plan, tally)
    tally.log = (folder / "child.log").read_text(encoding="utf-8", errors="replace")
    return tally


async def connected(folder: Path, times: int, timeout_s: float) -> None:
    """Wait until the children of a folder have said so many times that they are connected."""
    for _ in range(int(timeout_s / 0.02)):
        if (folder / "child.log").read_text(encoding="utf-8", errors="replace").count(
            "is connected"
        ) >= times:
            return
        await asyncio.sleep(0.02)
    raise AssertionError((folder / "child.log").read_text(encoding="utf-8", errors="replace")[-2000:])


async def _speak(crowd: Crowd, lines: Sequence[tuple[int, int]], plan: Plan, draw: random.Random) -> None:
    """All lines over the time in which the bot is being killed."""
    pause = plan.num_kills * (1.0 + plan.longest_life_s / 2) / len(lines)
    for chat, number in lines:
        await crowd.say(chat, f"chat {chat} line {number}")
        await asyncio.sleep(draw.uniform(0, 2 * pause))


def _answer(chat: int, number: int) -> str:
    return f"re: chat {chat} line {number}"


def _missing(crowd: Crowd, lines: Sequence[tuple[int, int]]) -> list[str]:
    heard = {chat: set(crowd.heard(chat)) for chat in {chat for chat, _ in lines}}
    return [_answer(*line) for line in lines if _answer(*line) not in heard[line[0]]]


def _count(crowd: Crowd, lines: Sequence[tuple[int, int]], plan: Plan, tally: Tally) -> None:
    tally.missing = _missing(crowd, lines)
    for chat in range(plan.num_chats):
        heard = [text for text in crowd.heard(chat) if text.startswith("re: ")]
        tally.repeated += [text for text, times in Counter(heard).items() for _ in range(times - 1)]
        expected = [_answer(*line) for line in lines if line[0] == chat]
        if list(dict.fromkeys(heard)) != [text for text in expected if text in heard]:
            tally.disordered.append(chat)
