"""Ten minutes of many chats with random cancellations and deadlines: nothing leaks, hangs or gets lost.

    python benchmarks/soak.py [--seconds 600] [--chats 64] [--model M] [--reverse M]

Prints one line per interval and a verdict; exit code 1 when memory grew by more than 2 % after the first
third or a request was lost.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter

from brain.brain import Brain
from brain.build import build
from brain.config import BrainConfig
from brain.dialogue import Conversation, Turn
from brain.errors import EngineTimeout

SAYINGS = (
    "hello there, how was your day?",
    "i went to the market and bought far too many pears.",
    "do you prefer the sea or the mountains?",
    "my neighbour plays the trumpet at night, what would you do?",
    "tell me something that you like.",
    "that is a long story, but a good one.",
)
ANSWER_WITHIN = 120.0  # seconds; longer counts as lost


def resident_mib() -> float:
    """Memory of this process in RAM."""
    with open("/proc/self/status") as status:
        [line] = [line for line in status if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


async def chat(brain: Brain, number: int, until: float, counts: Counter[str]) -> None:
    """Talk until the time is over; a third of the calls are given up or get a short deadline."""
    chance = random.Random(number)
    turns: list[Turn] = []
    while time.monotonic() < until:
        turns = [*turns[-6:], Turn(chance.choice(SAYINGS))]
        config = brain.config.decoding.merge(
            {
                "method": chance.choice(["mmi", "mmi", "sample", "greedy", "beam"]),
                "num_candidates": chance.choice([1, 4, 16]),
                "num_beams": 4,
            },
            "soak",
        )
        call = asyncio.create_task(brain.reply(Conversation(tuple(turns)), decoding=config, seed=number))
        fate = chance.random()
        if fate < 0.2:
            await asyncio.sleep(chance.random())
            call.cancel()
        try:
            reply = await asyncio.wait_for(call, ANSWER_WITHIN if fate < 0.85 else chance.random() * 2)
        except asyncio.CancelledError:
            counts["cancelled"] += 1
        except (TimeoutError, EngineTimeout):
            counts["late" if fate >= 0.85 else "lost"] += 1
        else:
            counts["answered"] += 1
            turns.append(Turn(reply.text))
        await asyncio.sleep(chance.random() * 0.2)


async def soak(args: argparse.Namespace) -> int:
    """Run all chats and watch memory; returns the exit code."""
    brain = build(BrainConfig(model=args.model, reverse=args.reverse, max_seconds=ANSWER_WITHIN))
    counts: Counter[str] = Counter()
    start = time.monotonic()
    until = start + args.seconds
    chats = [asyncio.create_task(chat(brain, number, until, counts)) for number in range(args.chats)]
    memory: list[tuple[float, float]] = []
    while time.monotonic() < until:
        await asyncio.sleep(min(args.seconds / 30, max(0.0, until - time.monotonic())))
        memory.append((time.monotonic() - start, resident_mib()))
        print(json.dumps({"s": round(memory[-1][0]), "mib": round(memory[-1][1], 1), **counts}), flush=True)
    await asyncio.wait_for(asyncio.gather(*chats), 2 * ANSWER_WITHIN)
    await brain.close()
    settled = [mib for at, mib in memory if at > args.seconds / 3]
    half = len(settled) // 2
    first, second = max(settled[:half], default=0.0), max(settled[half:], default=0.0)
    growth = second / first - 1 if first else 0.0
    is_good = counts["lost"] == 0 and growth <= 0.02 and counts["answered"] > 0
    print(json.dumps({"growth": round(growth, 4), "is_good": is_good, **counts}))
    return 0 if is_good else 1


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--chats", type=int, default=64)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--reverse", default="auto")
    sys.exit(asyncio.run(soak(parser.parse_args())))


if __name__ == "__main__":
    main()
