"""How much sooner a chat's second turn begins to be answered: its history was read for the first one.

    python benchmarks/second_turn.py [--model M] [--history 200] [--said 35] [--runs 9]

First turn: --history random tokens. Second turn: the same, then --said more (a reply and what was answered).
Both on the same chat, alternated; the time is that until the first token of one candidate.
"""

from brain.threads import wait_briefly

wait_briefly()

import argparse  # noqa: E402
import asyncio  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402

from brain.bench.models import Pair, open_pair  # noqa: E402
from brain.config import BrainConfig, DecodingConfig  # noqa: E402
from brain.dialogue import Prompt  # noqa: E402

DECODING = DecodingConfig(method="sample", num_candidates=1, min_new_tokens=4, max_new_tokens=4)


async def first_token(pair: Pair, ids: tuple[int, ...], seed: int) -> float:
    """Seconds from the call to the first token."""
    heard: list[float] = []
    started = time.perf_counter()
    await pair.forward.generate(
        Prompt((), ids), DECODING, seed, on_token=lambda candidate, token: heard.append(time.perf_counter())
    )
    await asyncio.sleep(0)
    return heard[0] - started


async def measure(args: argparse.Namespace) -> dict[str, object]:
    """Medians of both turns and of their ratio."""
    pair = open_pair(BrainConfig(model=args.model), with_mmi=False)
    chance = random.Random(0)
    vocab = pair.encoder.vocab_size - 1
    first, second = [], []
    for run in range(args.runs + 1):
        history = tuple(chance.randrange(vocab) for _ in range(args.history))
        said = tuple(chance.randrange(vocab) for _ in range(args.said))
        first.append(await first_token(pair, history, run))
        second.append(await first_token(pair, history + said, run))
    await pair.close()
    ratios = [later / earlier for earlier, later in zip(first[1:], second[1:], strict=True)]
    return {
        "first_turn_s": statistics.median(first[1:]),
        "second_turn_s": statistics.median(second[1:]),
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "history": args.history,
        "said": args.said,
        "runs": args.runs,
    }


def main() -> None:
    """Parse the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--history", type=int, default=200)
    parser.add_argument("--said", type=int, default=35)
    parser.add_argument("--runs", type=int, default=9)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
