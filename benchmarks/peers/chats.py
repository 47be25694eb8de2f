"""Many chats at once: ours beside transformers, one after the other and as one batch; and against ourselves.

    python benchmarks/peers/chats.py [--size small] [--chats 16] [--rounds 5] [--out DIR]

The first table has one candidate per chat and no MMI. In the second, with sixteen candidates and MMI,
each chat says four things, right after each answer or at random times. Alternated as in replies.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tables
from alternate import alternate, banter_bench, script
from checkpoints import SIZES, make

ONE_BY_ONE, BATCH, OURS = "transformers bf16, one after the other", "transformers bf16, one batch", "ours"
ONE_CHAT, AT_ONCE, POISSON = "ours, one chat", "ours, all at once", "ours, at random times"

SINGLE_RATIOS = (("it ÷ one after the other", "it", ONE_BY_ONE), ("it ÷ one batch", "it", BATCH))
MANY_RATIOS = (("it ÷ one chat", "it", ONE_CHAT), ("it ÷ all at once", "it", AT_ONCE))


def single(folder: Path, num_chats: int) -> dict[str, list[str]]:
    """Peers of the first table."""
    peer = ("--folder", folder, "--dtype", "bfloat16", "--candidates", 1, "--chats", num_chats)
    return {
        ONE_BY_ONE: script("peer_transformers.py", *peer, "--together", "one-by-one"),
        BATCH: script("peer_transformers.py", *peer, "--together", "batch"),
        OURS: banter_bench("serve", "--model", folder, "--chats", num_chats, "--candidates", 1),
    }


def many(folder: Path, num_chats: int) -> dict[str, list[str]]:
    """Peers of the second table, all ours."""
    common = ("serve", "--model", folder, "--reverse", folder, "--candidates", 16, "--mmi")
    return {
        ONE_CHAT: banter_bench(*common, "--chats", 1),
        AT_ONCE: banter_bench(*common, "--chats", num_chats, "--turns", 4),
        POISSON: banter_bench(*common, "--chats", num_chats, "--turns", 4, "--arrivals", "poisson"),
    }


def measured(commands: dict[str, list[str]], num_rounds: int) -> dict[str, Sequence[float]]:
    """Replies per second of each round, by peer."""
    answers = alternate(commands, num_rounds)
    return {name: [answer["replies_per_s"] for answer in mine] for name, mine in answers.items()}


def main() -> None:
    """Make the checkpoint, alternate, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--chats", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/chats"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = make(Path(scratch) / args.size, args.size)
        first = measured(single(folder, args.chats), args.rounds)
        second = measured(many(folder, args.chats), args.rounds)
    one = tables.rows(first, SINGLE_RATIOS)
    sixteen = tables.rows(second, MANY_RATIOS)
    title = f"GPT-2 {args.size}, {args.chats} chats of 128 tokens, 20 new ones"
    tables.write(
        args.out / args.size,
        tables.circumstances(args.rounds),
        {
            "single": tables.markdown(f"{title}, 1 candidate", "replies/s", one),
            "many": tables.markdown(f"{title}, 16 candidates and MMI", "replies/s", sixteen),
        },
        {"single": one, "many": sixteen, "replies_per_s": {**first, **second}},
    )


if __name__ == "__main__":
    main()
