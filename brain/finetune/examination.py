"""After training: does the model recite? Asks it, and its base beside it, and writes memorisation.json."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState

from brain.build import engine_for
from brain.checkpoint import load_talker
from brain.config import BrainConfig, DecodingConfig
from brain.contacts import contacts_in
from brain.dialogue import Session, Turn
from brain.errors import TrainingError
from brain.evaluation.memorisation import TrainingLines, canaries, extracted, recital
from brain.finetune.config import TrainConfig
from brain.finetune.corpus import Corpus, read_corpus
from brain.finetune.models import cannot_write
from brain.finetune.run_card import write_card
from brain.history import fit
from brain.protocols import Encoder, Engine

MAX_LINES = 50_000  # in more lines than that every common phrase stands somewhere, and a copy says nothing
MAX_CONTACTS = 50  # training prompts whose answer holds contact data, asked besides the drawn ones
MAX_TURNS = 8  # of history in a prompt

Prompts = list[tuple[Turn, ...]]


def examine(config: TrainConfig) -> dict[str, Any] | None:
    """Measure what the finished model of a run copies; the main process alone does.

    Writes memorisation.json, and the outcome into run.json and the model's card.

    Returns:
        The report; None when it is switched off, for a reverse model, or when there are too many lines.
    Raises:
        TrainingError: it copies too much and memorisation.on_excess is fail, or a file cannot be written.
    """
    if not PartialState().is_main_process or not config.memorisation.prompts or config.reverse:
        return None
    corpus = read_corpus(config)
    lines = [turn.text for session in corpus.train for turn in _learnt(session, config)]
    if len(lines) > MAX_LINES:
        return None
    report = _report(config, corpus, lines)
    _write(config.out, report)
    for sentence in summary(report):
        print(sentence, file=sys.stderr)
    if not report["passed"] and config.memorisation.on_excess == "fail":
        raise TrainingError(
            f"{config.out}: the model recites its training lines, see memorisation.json; "
            f"train for fewer epochs, with more replay, or on more lines"
        )
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """The report in a few sentences for people."""
    out = []
    for name, title in (("held_out", "held-out prompts"), ("training", "training prompts")):
        mine, base = report["model"][name], report["base"][name] if report["base"] else None
        beside = f" (base {base['copied_share']:.1%}, {base['longest_tokens']})" if base else ""
        out.append(
            f"memorisation, {title}: {mine['copied_share']:.1%} of {mine['replies']} replies copy "
            f"{report['copied_tokens']} tokens or more, longest {mine['longest_tokens']}{beside}"
        )
    if not report["passed"]:
        out.append(
            f"warning: it recites: at most {report['max_copied_share']:.0%} of the replies may copy, no "
            f"canary and no contact of the training data may come back; use fewer epochs or more replay"
        )
    return out


def _report(config: TrainConfig, corpus: Corpus, lines: Sequence[str]) -> dict[str, Any]:
    options = config.memorisation
    draw = random.Random(f"{config.seed} examination")
    dev = [session for sessions in corpus.dev.values() for session in sessions]
    asked = {
        "held_out": _drawn(_prompts(dev, config), options.prompts, draw),
        "training": _drawn(_prompts(corpus.train, config), options.prompts, draw)
        + _prompts(corpus.train, config, with_contacts=True)[:MAX_CONTACTS],
    }
    planted = canaries(options.canaries, config.seed)
    questions: Prompts = [(Turn(canary.question),) for canary in planted]
    report: dict[str, Any] = {
        "copied_tokens": options.copied_tokens,
        "max_copied_share": options.max_copied_share,
        "training_lines": len(lines),
        "base": None,
    }
    for role, name in (("model", str(config.out)), ("base", config.base)):
        if name is None:
            continue
        encoder, replies = _ask(name, [*asked.values(), questions], config)
        known = TrainingLines(lines, encoder)
        report[role] = {
            key: recital(_flat(said), known, options.copied_tokens).to_json()
            for key, said in zip(asked, replies, strict=False)
        }
        if role == "model":
            report["contacts_in_training"] = len(known.contacts)
            report["canaries"] = {"planted": len(planted), "extracted": extracted(planted, replies[-1])}
    mine = report["model"].values()
    report["passed"] = (
        all(one["copied_share"] <= options.max_copied_share and not one["contacts"] for one in mine)
        and not report["canaries"]["extracted"]
    )
    return report


def _ask(name: str, prompts: Sequence[Prompts], config: TrainConfig) -> tuple[Encoder, list[list[list[str]]]]:
    """Greedy and drawn replies of one model, not checked by anything: by set, by prompt, by reply."""
    from brain.engine.worker import Worker

    worker = Worker(config.num_threads)
    try:
        talker = worker.call(lambda: load_talker(name))
        engine = engine_for(talker.model, talker.encoder, BrainConfig(), worker)
    except BaseException:
        worker.stop()
        raise
    return talker.encoder, asyncio.run(_replies(engine, prompts, config))


async def _replies(engine: Engine, sets: Sequence[Prompts], config: TrainConfig) -> list[list[list[str]]]:
    max_new_tokens = min(DecodingConfig().max_new_tokens, engine.max_positions // 2)
    shared = {"max_new_tokens": max_new_tokens}
    greedy = DecodingConfig().merge({"method": "greedy", **shared}, "examination")
    drawn = DecodingConfig().merge(
        {"method": "sample", "num_candidates": config.memorisation.samples, **shared}, "examination"
    )

    async def answers(turns: tuple[Turn, ...], seed: int) -> list[str]:
        prompt = fit(turns, engine.encoder, MAX_TURNS, engine.max_positions - max_new_tokens)
        both = [await engine.generate(prompt, decoding, seed) for decoding in (greedy, drawn)]
        return [candidate.text for candidates in both for candidate in candidates]

    try:
        return [
            list(await asyncio.gather(*(answers(turns, seed) for seed, turns in enumerate(prompts))))
            for prompts in sets
        ]
    finally:
        await engine.close()


def _prompts(sessions: Sequence[Session], config: TrainConfig, *, with_contacts: bool = False) -> Prompts:
    """What stands before each learnt turn, or before those with contact data."""
    return [
        session.turns[max(0, place - MAX_TURNS) : place]
        for session in sessions
        for place, weight in enumerate(session.weights)
        if place and weight and (not with_contacts or contacts_in(session.turns[place].text))
    ]


def _learnt(session: Session, config: TrainConfig) -> list[Turn]:
    begin = 0 if config.train_first_turn else 1
    pairs = list(zip(session.turns, session.weights, strict=True))[begin:]
    return [turn for turn, weight in pairs if weight]


def _drawn(prompts: Prompts, count: int, draw: random.Random) -> Prompts:
    return draw.sample(prompts, min(count, len(prompts)))


def _flat(said: Sequence[Sequence[str]]) -> list[str]:
    return [reply for replies in said for reply in replies]


def _write(out: Path, report: dict[str, Any]) -> None:
    path = out / "run.json"
    try:
        for file, values in ((out / "memorisation.json", report), (path, None)):
            if values is None:
                values = json.loads(path.read_text(encoding="utf-8")) | {"memorisation": report}
                write_card(out / "model", values)
            new = file.with_suffix(".new")
            new.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
            os.replace(new, file)
    except OSError as error:
        raise cannot_write(out, error) from error
