"""Training speed on a GPT-2 small shape: the recipe beside transformers' Trainer.

    python benchmarks/train.py [--rounds 3] [--steps 6] [--threads 2] [--out FILE]

Alternated, each run in a process of its own. Sessions have log-normal lengths, median 35 tokens, clipped at
128, as Reddit's have. Real tokens per second, padding not counted; peak memory of each process beside it. All
train the same random weights on the same ids:

    trainer   transformers' Trainer, float32, random batches padded to their longest
    bucketed  the same with batches of like lengths (train_sampling_strategy="group_by_length")
    banter    this project's optimiser step: packed rows, bfloat16 copy of float32 weights
"""

import argparse
import json
import math
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from typing import Any

VOCAB, MEDIAN, LONGEST, SIGMA = 50257, 35, 128, 0.8
BATCH_TOKENS = 2048  # packed rows
BATCH_SESSIONS = 16  # as many as such rows hold of the longest: 48 took the Trainer 12 GB
WARM_UP = 2
PEERS = ("trainer", "bucketed", "banter")


def lengths(count: int, seed: int) -> list[int]:
    """Tokens of each session."""
    draw = random.Random(seed)
    return [max(4, min(LONGEST, round(draw.lognormvariate(math.log(MEDIAN), SIGMA)))) for _ in range(count)]


def sessions(count: int, seed: int) -> list[list[int]]:
    """Random ids."""
    draw = random.Random(seed + 1)
    return [[draw.randrange(1, VOCAB - 1) for _ in range(length)] for length in lengths(count, seed)]


def small_gpt2() -> Any:
    """GPT-2 small with random weights and without dropout, which would cost all of them alike."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))


def with_trainer(steps: int, *, bucketed: bool) -> tuple[int, float]:
    """Real tokens and seconds of `steps` steps after the warm-up."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    stamps: list[float] = []
    counts: list[int] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append(time.perf_counter())

    def padded(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        counts.append(sum(len(row["input_ids"]) for row in rows))
        ids = torch.tensor([row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows])
        mask = torch.tensor(
            [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
        )
        return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}

    data = [{"input_ids": ids} for ids in sessions(BATCH_SESSIONS * 64, seed=1)]
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH_SESSIONS,
            max_steps=steps + WARM_UP,
            train_sampling_strategy="group_by_length" if bucketed else "random",
            learning_rate=5e-5,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
        )
        Trainer(small_gpt2(), args, train_dataset=data, data_collator=padded, callbacks=[Clock()]).train()
    return sum(counts[WARM_UP : WARM_UP + steps]), stamps[-1] - stamps[WARM_UP - 1]


def with_recipe(steps: int) -> tuple[int, float]:
    """Likewise with the step of `banter finetune`."""
    from brain.finetune.batches import BatchPlan
    from brain.finetune.config import OptimConfig
    from brain.finetune.examples import EncodedTurn
    from brain.finetune.masters import MasterWeights
    from brain.finetune.models import make_trainable
    from brain.finetune.optim import optimizers_for
    from brain.finetune.train import DialogueLoss, accelerator_for, optimizer_step, precision_of

    optim = OptimConfig(row_lens=(256,), batch_tokens=BATCH_TOKENS, lr=5e-5)
    turns = [
        [EncodedTurn(ids[:1], 0.0, 0), EncodedTurn(ids[1:], 1.0, 0)]
        for ids in sessions(BATCH_SESSIONS * 64, seed=1)
    ]
    batches = BatchPlan(turns, optim.row_lens, BATCH_TOKENS).epoch(1, 0)
    model = small_gpt2()
    make_trainable(model, optim)
    loss = DialogueLoss(model)
    accelerator = accelerator_for(optim)
    masters = MasterWeights(loss) if precision_of(optim) == "bf16" else None
    prepared, *optimizers = accelerator.prepare(loss, *optimizers_for(masters or loss, optim))
    num_tokens, begun = 0, 0.0
    for index, rows in enumerate(batches[: steps + WARM_UP]):
        if index == WARM_UP:
            num_tokens, begun = 0, time.perf_counter()
        optimizer_step(accelerator, prepared, optimizers, [rows.collate()], optim.clip_norm, masters)
        num_tokens += rows.num_tokens
    return num_tokens, time.perf_counter() - begun


def measure(peer: str, steps: int, threads: int) -> dict[str, float]:
    """One peer in this process."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    if peer == "banter":
        num_tokens, seconds = with_recipe(steps)
    else:
        num_tokens, seconds = with_trainer(steps, bucketed=peer == "bucketed")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tokens_per_s": num_tokens / seconds, "peak_mib": peak}


def main() -> None:
    """Alternate the peers, each run in a process of its own, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", choices=PEERS)
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.peer:
        print(json.dumps(measure(args.peer, args.steps, args.threads)))
        return
    runs: dict[str, list[dict[str, float]]] = {peer: [] for peer in PEERS}
    for _ in range(args.rounds):
        for peer in PEERS:
            command = [sys.executable, __file__, "--peer", peer, "--steps", str(args.steps)]
            done = subprocess.run(
                [*command, "--threads", str(args.threads)], capture_output=True, text=True, check=True
            )
            runs[peer].append(json.loads(done.stdout.splitlines()[-1]))
            print(peer, runs[peer][-1], file=sys.stderr, flush=True)
    table = {}
    for peer, results in runs.items():
        rates = [result["tokens_per_s"] for result in results]
        ratios = [b["tokens_per_s"] / a["tokens_per_s"] for a, b in zip(results, runs["banter"], strict=True)]
        table[peer] = {
            "tokens_per_s": {"median": statistics.median(rates), "min": min(rates), "max": max(rates)},
            "peak_mib": max(result["peak_mib"] for result in results),
            "banter_is_times": {
                "median": statistics.median(ratios),
                "min": min(ratios),
                "max": max(ratios),
            },
        }
    text = json.dumps({"steps": args.steps, "threads": args.threads, "peers": table}, indent=1)
    print(text)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
