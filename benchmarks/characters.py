"""Many characters in one batch against one: replies per second, and how fast a chat changes its character.

    python benchmarks/characters.py [--model M] [--characters 12] [--chats 24] [--runs 7] [--rank 16]

Each round lets all chats ask at once and takes the whole time: once all of them with the base, once with one
character, once with one whose weights are merged into a model of its own, once with all characters mixed.
The four alternate, and the ratios are taken within each round, so that a busy machine disturbs them little.
LoRA weights are random: they take as long as trained ones.
"""

from brain.threads import wait_briefly

wait_briefly()

import argparse  # noqa: E402
import asyncio  # noqa: E402
import json  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from dataclasses import asdict  # noqa: E402
from pathlib import Path  # noqa: E402
from random import Random  # noqa: E402

from brain.bench.config import ServeBenchConfig  # noqa: E402
from brain.bench.models import Pair, open_pair  # noqa: E402
from brain.bench.reply import timed_reply  # noqa: E402
from brain.bench.timing import no_garbage_collection, spread  # noqa: E402
from brain.checkpoint import locate  # noqa: E402
from brain.config import BrainConfig  # noqa: E402
from brain.lora import note_base  # noqa: E402
from brain.testing import random_lora  # noqa: E402
from brain.weights import describe, gpt2_shape  # noqa: E402


async def all_at_once(pair: Pair, sizes: ServeBenchConfig, loras: Sequence[str | None], seed: str) -> float:
    """Seconds until every chat has its reply."""
    draws = [Random(f"{seed} {chat}") for chat in range(len(loras))]
    with no_garbage_collection():
        started = time.perf_counter()
        await asyncio.gather(*(timed_reply(pair, sizes, *one) for one in zip(draws, loras, strict=True)))
        return time.perf_counter() - started


async def throughput(
    base: Pair, own: Pair, names: Sequence[str], args: argparse.Namespace, candidates: int
) -> dict[str, object]:
    """Replies per second of the four companies, and ratios of mixed ones to each other one."""
    sizes = ServeBenchConfig(chats=args.chats, candidates=candidates)
    one: list[str | None] = [names[0]] * args.chats
    mixed: list[str | None] = [names[chat % len(names)] for chat in range(args.chats)]
    nobody: list[str | None] = [None] * args.chats
    rounds: dict[str, list[float]] = {}
    companies = {"base": (base, nobody), "merged": (own, nobody), "one": (base, one), "mixed": (base, mixed)}
    for run in range(args.runs + 1):
        for name, (pair, loras) in companies.items():
            seconds = await all_at_once(pair, sizes, loras, f"{run} {name}")
            if run:  # the first one warms up
                rounds.setdefault(name, []).append(seconds)
    rates = {name: asdict(spread([args.chats / took for took in all_])) for name, all_ in rounds.items()}
    ratios = {
        name: asdict(spread([a / b for a, b in zip(rounds[name], rounds["mixed"], strict=True)]))
        for name in ("one", "merged", "base")
    }
    return {"replies_per_s": rates, "mixed_over": ratios}


async def switching(pair: Pair, names: Sequence[str], runs: int) -> dict[str, object]:
    """Milliseconds until a chat has another character: loaded already, and read from its files."""
    loaded, cold = [], []
    for run in range(runs):
        for name in names:
            started = time.perf_counter()
            await pair.forward.prepare(name)
            loaded.append(1000 * (time.perf_counter() - started))
        touch(names[run % len(names)])
        started = time.perf_counter()
        await pair.forward.prepare(names[run % len(names)])
        cold.append(1000 * (time.perf_counter() - started))
    return {"loaded_ms": asdict(spread(loaded)), "from_files_ms": asdict(spread(cold))}


def touch(folder: str) -> None:
    """Let the files look new."""
    for file in Path(folder).iterdir():
        file.touch()


async def measure(args: argparse.Namespace, root: Path) -> dict[str, object]:
    """All figures."""
    path = locate(args.model, "forward")
    names = []
    for number in range(args.characters):
        folder = random_lora(root / f"c{number}", gpt2_shape(describe(path)), number, args.rank, std=0.05)
        note_base(folder, args.model, path, reverse=False)
        names.append(str(folder))
    found: dict[str, object] = {"model": args.model, "characters": args.characters, "chats": args.chats}
    for candidates in (1, 16):
        base = open_pair(BrainConfig(model=args.model), with_mmi=candidates > 1)
        reverse = args.model if candidates > 1 else "none"
        own = open_pair(BrainConfig(model=names[0], reverse=reverse), with_mmi=candidates > 1)
        for name in names:
            await base.forward.prepare(name)
        found[f"candidates_{candidates}"] = await throughput(base, own, names, args, candidates)
        if candidates == 1:
            found["switching"] = await switching(base, names, args.runs)
        await base.close()
        await own.close()
    return found


def main() -> None:
    """Parse the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--characters", type=int, default=12)
    parser.add_argument("--chats", type=int, default=24)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--runs", type=int, default=7)
    with tempfile.TemporaryDirectory() as root:
        print(json.dumps(asyncio.run(measure(parser.parse_args(), Path(root))), indent=1))


if __name__ == "__main__":
    main()
