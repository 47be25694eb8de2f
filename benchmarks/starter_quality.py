"""How well the starter (or any model) talks: likelihood, candidates, self-play. Figures for MODEL_CARD.md.

    python benchmarks/starter_quality.py --corpora DIR [--model M] [--reverse M] [--prompts 200] [--out FILE]

DIR holds NAME.dev.jsonl.gz files of conversations. Everything runs through `brain.Brain`, as a chat does.
"""

import argparse
import asyncio
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from brain.brain import Brain
from brain.build import build
from brain.config import BrainConfig, DecodingConfig
from brain.dialogue import Conversation, Reply, Turn
from brain.finetune.sessions import read_sessions

SOURCES = ("self_dialogue", "topical_chat", "personachat_valid")
HISTORY = 8  # previous turns a scored turn sees
TURNS, OPENINGS = 40, 20


def dialogues(corpora: Path, source: str) -> list[list[str]]:
    """The conversations of one dev file."""
    sessions = read_sessions(corpora / f"{source}.dev.jsonl.gz")
    return [[turn.text for turn in session.turns] for session in sessions]


async def nats_per_byte(brain: Brain, talks: Sequence[Sequence[str]]) -> dict[str, float]:
    """Forward and reverse log-probability per UTF-8 byte of what is predicted, end tokens included."""
    items = [(talk[max(0, i - HISTORY) : i], talk[i]) for talk in talks for i in range(1, len(talk))]
    totals: Counter[str] = Counter()
    for start in range(0, len(items), 256):
        part = items[start : start + 256]
        scores = await asyncio.gather(*(brain.score([Turn(t) for t in turns], text) for turns, text in part))
        for (turns, text), score in zip(part, scores, strict=True):
            totals["forward"] -= score.forward
            totals["forward_bytes"] += len(text.encode())
            totals["reverse"] -= score.reverse or 0.0
            totals["reverse_bytes"] += sum(len(turn.encode()) for turn in turns)
            totals["words"] += len(text.split())
    return {
        "forward": round(totals["forward"] / totals["forward_bytes"], 4),
        "reverse": round(totals["reverse"] / totals["reverse_bytes"], 4),
        "perplexity_per_word": round(math.exp(totals["forward"] / totals["words"]), 1),
        "turns": len(items),
    }


def ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All n-grams of a word list."""
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def diversity(texts: Sequence[str]) -> dict[str, float]:
    """distinct-2 and entropy-4 (nats) over all replies, as in the paper, and mean length in words."""
    two = [gram for text in texts for gram in ngrams(text.split(), 2)]
    four = Counter(gram for text in texts for gram in ngrams(text.split(), 4))
    total = sum(four.values())
    entropy = -sum(count / total * math.log(count / total) for count in four.values()) if total else 0.0
    return {
        "distinct_2": round(len(set(two)) / max(1, len(two)), 4),
        "entropy_4": round(entropy, 3),
        "avg_len": round(statistics.mean(len(text.split()) for text in texts), 2),
    }


def faults(prompts: Sequence[Sequence[str]], replies: Sequence[Reply]) -> dict[str, int]:
    """How many replies are empty, repeat the user, hold a 3-gram twice, or are a fallback line."""
    texts = [reply.text for reply in replies]
    words = [text.lower().split() for text in texts]
    plain = ["".join(char for char in text.lower() if char.isalnum()) for text in texts]
    said = [{"".join(c for c in turn.lower() if c.isalnum()) for turn in turns} for turns in prompts]
    return {
        "empty": sum(not text.strip() for text in texts),
        "echo": sum(text in turns for text, turns in zip(plain, said, strict=True)),
        "repeated_3gram": sum(max(Counter(ngrams(w, 3)).values(), default=0) > 1 for w in words),
        "fallback": sum(reply.chosen < 0 for reply in replies),
    }


async def decode(
    brain: Brain, prompts: Sequence[Sequence[str]], base: DecodingConfig, method: str
) -> tuple[list[Reply], float]:
    """All replies under one method, and the seconds they took together."""
    config = base.merge({"method": method}, "benchmark")
    start = time.perf_counter()
    jobs = (
        brain.reply(Conversation(tuple(Turn(t) for t in turns)), decoding=config, seed=i)
        for i, turns in enumerate(prompts)
    )
    replies = await asyncio.gather(*jobs)
    return list(replies), time.perf_counter() - start


async def self_play(brain: Brain, opening: str, seed: int) -> list[str]:
    """TURNS turns from an opening, the opening included."""
    turns = [opening]
    while len(turns) < TURNS:
        reply = await brain.reply(Conversation(tuple(Turn(t) for t in turns)), seed=seed * 1000 + len(turns))
        turns.append(reply.text)
    return turns


def aliveness(talks: Sequence[Sequence[str]]) -> dict[str, object]:
    """Empty turns, the most often repeated turn of a talk, second half over first half in mean length."""
    ratios = []
    for talk in talks:
        lens = [len(turn.split()) for turn in talk]
        ratios.append(statistics.mean(lens[TURNS // 2 :]) / statistics.mean(lens[: TURNS // 2]))
    return {
        "empty": sum(not turn.strip() for talk in talks for turn in talk),
        "most_repeated": max(max(Counter(talk).values()) for talk in talks),
        "length_ratio_mean": round(statistics.mean(ratios), 3),
        "length_ratio_min": round(min(ratios), 3),
        "same_as_turn_before": sum(a == b for talk in talks for a, b in pairwise(talk)),
    }


async def measure(args: argparse.Namespace) -> dict[str, object]:
    """All figures as one object."""
    config = BrainConfig(model=args.model, reverse=args.reverse)
    brain = build(config)
    talks = {source: dialogues(args.corpora, source) for source in SOURCES}
    report: dict[str, object] = {"model": args.model}
    if not args.skip_likelihood:
        report["nats_per_byte"] = {s: await nats_per_byte(brain, t[: args.talks]) for s, t in talks.items()}
    pool = [talk[: 1 + (i % min(8, len(talk) - 1))] for s in SOURCES for i, talk in enumerate(talks[s])]
    prompts = pool[:: max(1, len(pool) // args.prompts)][: args.prompts]
    chosen: dict[str, list[Reply]] = {}
    for method in ("greedy", "beam", "mmi"):
        chosen[method], seconds = await decode(brain, prompts, config.decoding, method)
        texts = [reply.text for reply in chosen[method]]
        report[method] = {
            **diversity(texts),
            **faults(prompts, chosen[method]),
            "seconds_per_reply": round(seconds / len(texts), 3),
        }
    gains = [
        b.candidates[b.chosen].logprob - g.candidates[g.chosen].logprob
        for b, g in zip(chosen["beam"], chosen["greedy"], strict=True)
        if b.chosen >= 0 and g.chosen >= 0
    ]
    report["beam_above_greedy"] = round(sum(gain > 1e-4 for gain in gains) / len(gains), 3)
    report["beam_below_greedy"] = round(sum(gain < -1e-4 for gain in gains) / len(gains), 3)
    openings = [talk[0] for talk in talks["self_dialogue"][:OPENINGS]]
    plays = await asyncio.gather(*(self_play(brain, opening, i) for i, opening in enumerate(openings)))
    report["self_play"] = aliveness(plays)
    if args.out:
        samples = [
            {"turns": list(turns), **{m: chosen[m][i].text for m in chosen}}
            for i, turns in enumerate(prompts)
        ]
        args.out.write_text(json.dumps({**report, "samples": samples, "plays": plays}, indent=1))
    await brain.close()
    return report


def main() -> None:
    """Parse the command line and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--reverse", default="auto")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--talks", type=int, default=None, help="conversations per source for the likelihood")
    parser.add_argument("--skip-likelihood", action="store_true")
    parser.add_argument("--out", type=Path)
    json.dump(asyncio.run(measure(parser.parse_args())), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
