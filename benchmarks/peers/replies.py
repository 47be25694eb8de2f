"""One whole reply with MMI: ours beside transformers and CTranslate2, and beside the machine's floor.

    python benchmarks/peers/replies.py [--size small] [--rounds 5] [--peers NAME,…] [--out DIR]

Every peer runs in a process of its own, on the same checkpoint with random weights, loaded twice: as forward
and as reverse model. Needs `pip install -e '.[bench]'`, and memory for all peers at once; --peers takes some.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tables
from alternate import alternate, banter_bench, script
from checkpoints import SIZES, make

NAIVE, HF_BF16, CT2_INT8, OURS = "naive fp32", "transformers bf16", "CTranslate2 int8", "ours"
RATIOS = (("naive ÷ it", NAIVE, "it"), ("it ÷ ours", "it", OURS), ("it ÷ bf16 floor", "it", "floor bf16"))


def commands(folder: Path, sizes: Sequence[object]) -> dict[str, list[str]]:
    """How each peer is started, by its name in the table."""
    common = ("--folder", folder, *sizes)
    ours = ("reply", "--model", folder, "--reverse", folder, "--no-floor", *sizes)

    def transformers(dtype: str, mmi: str) -> list[str]:
        return script("peer_transformers.py", *common, "--dtype", dtype, "--mmi", mmi)

    return {
        NAIVE: transformers("float32", "naive"),
        "transformers fp32": transformers("float32", "batched"),
        HF_BF16: transformers("bfloat16", "batched"),
        "CTranslate2 fp32": script("peer_ctranslate2.py", *common, "--compute", "float32"),
        CT2_INT8: script("peer_ctranslate2.py", *common, "--compute", "int8"),
        OURS: banter_bench(*ours),
        "ours fp32": banter_bench(*ours, "--dtype", "float32"),
        "ours bf16": banter_bench(*ours, "--dtype", "bfloat16"),
        "floor fp32": script("peer_floor.py", *common, "--dtype", "float32"),
        "floor bf16": script("peer_floor.py", *common, "--dtype", "bfloat16"),
    }


def stage_medians(answers: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Median seconds of each stage of one peer."""
    names = answers[0]["stages"]
    return {name: sorted(a["stages"][name] for a in answers)[len(answers) // 2] for name in names}


def main() -> None:
    """Make the checkpoint, alternate, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="", help="names as in the table, by commas; empty = all")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"))
    for name, default in (("history", 128), ("candidates", 16), ("new-tokens", 20), ("source", 30)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    sizes = [
        part
        for name in ("history", "candidates", "new_tokens", "source")
        for part in (f"--{name.replace('_', '-')}", getattr(args, name))
    ]
    with tempfile.TemporaryDirectory() as scratch:
        known = commands(make(Path(scratch) / args.size, args.size), sizes)
        wanted = args.peers.split(",") if args.peers else list(known)
        if unknown := set(wanted) - set(known):
            parser.error(f"no peer {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        answers = alternate({name: known[name] for name in known if name in wanted}, args.rounds)
    seconds = {name: [answer["seconds"]["median"] for answer in mine] for name, mine in answers.items()}
    table = tables.rows(seconds, RATIOS)
    title = (
        f"GPT-2 {args.size}: {args.history} tokens of history, {args.candidates} candidates of "
        f"{args.new_tokens}, MMI over {args.source}"
    )
    tables.write(
        args.out / args.size,
        tables.circumstances(args.rounds),
        {"replies": tables.markdown(title, "seconds", table)},
        {
            "table": table,
            "stages": {name: stage_medians(mine) for name, mine in answers.items()},
            "answers": answers,
        },
    )


if __name__ == "__main__":
    main()
