"""General talk against forgetting: read from files, or made up by the base model before training.

A model that only ever sees one character's lines loses its general language. Mixing in talk of the kind it
was trained on holds it. Where no such data is at hand the base makes some up: samples of its own
distribution, turns and all, which it would otherwise drift away from.

Source: rehearsal, Robins 1995; with made-up data, Shin et al. 2017 (generative replay).
"""

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from brain.dialogue import Session, Turn
from brain.encoding import TurnEncoder
from brain.finetune.config import ReplayConfig
from brain.finetune.corpus import Encoded
from brain.finetune.sessions import read_sessions, sample, split_rate

FILE_NAME = "replay.jsonl"
ROWS = 100  # talks made up at once
TOP_P = 0.95  # of what the base could say next; the rest is noise that a small model should not learn again
SOURCE = "base"


def replay_sessions(
    model: Any, encoder: TurnEncoder, config: ReplayConfig, out: Path, seed: int
) -> list[Session]:
    """Sessions to replay: of the files, else those in `out` of an earlier sitting, else made up now.

    Args:
        model: transformers' GPT-2 as it is before training, on any device.
        out: folder of the run; what is made up is kept in it.
    Raises:
        DataError: a file cannot be read.
    """
    if config.data:
        draw = random.Random(f"{seed} replay")
        pairs = [split_rate(name) for name in config.data]
        return [session for path, rate in pairs for session in sample(list(read_sessions(path)), rate, draw)]
    path = out / FILE_NAME
    if not path.exists():
        _write(path, made_up(model, encoder, config, seed))
    return list(read_sessions(path))


@torch.no_grad()
def made_up(model: Any, encoder: TurnEncoder, config: ReplayConfig, seed: int) -> list[Session]:
    """Talks that `model` holds with itself, drawn turn by turn from nothing; torch's random state is kept."""
    sessions: list[Session] = []
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for start in range(0, config.sessions, ROWS):
            num_rows = min(ROWS, config.sessions - start)
            begin = torch.full((num_rows, 1), encoder.end_id, device=device)
            drawn = model.generate(
                begin,
                attention_mask=torch.ones_like(begin),
                do_sample=True,
                top_k=0,
                top_p=TOP_P,
                max_new_tokens=min(config.session_len, int(model.config.n_positions) - 1),
                use_cache=True,
                eos_token_id=None,  # the end of a turn is not the end of the talk
                pad_token_id=encoder.end_id,
            )
            sessions += [_session(row, encoder) for row in drawn[:, 1:].tolist()]
    return [session for session in sessions if len(session.turns) > 1]


def drawn_for_pass(pool: Encoded, num_tokens: float, seed: int, epoch: int) -> Encoded:
    """Sessions of `pool` with about `num_tokens` tokens, others in every pass, each at most once in one."""
    draw = random.Random(f"{seed} {epoch} replay")
    out: Encoded = []
    for index in draw.sample(range(len(pool)), len(pool)):
        if num_tokens <= 0:
            break
        out.append(pool[index])
        num_tokens -= sum(len(turn.ids) for turn in pool[index])
    return out


def _session(ids: Sequence[int], encoder: TurnEncoder) -> Session:
    """Cut one long sample at its ends of turns; what follows the last end is no whole turn."""
    turns: list[Turn] = []
    begin = 0
    for place, token in enumerate(ids):
        if token == encoder.end_id:
            text = encoder.decode(ids[begin:place])
            begin = place + 1
            if text:
                turns.append(Turn(text))
    return Session(tuple(turns), (1.0,) * len(turns), SOURCE)


def _write(path: Path, sessions: Sequence[Session]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    lines = (
        json.dumps({"turns": [turn.text for turn in session.turns], "source": session.source})
        for session in sessions
    )
    new.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    os.replace(new, path)
