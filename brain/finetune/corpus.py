"""The data of one run: files to encoded sessions, in reading order."""

import random
from pathlib import Path

from brain.dialogue import Session
from brain.encoding import TurnEncoder
from brain.errors import DataError
from brain.finetune.config import TrainConfig
from brain.finetune.examples import EncodedTurn, encode_session, ordered
from brain.finetune.sessions import read_sessions, sample, split_rate

Encoded = list[list[EncodedTurn]]


def texts(config: TrainConfig) -> list[str]:
    """All training turns, for learning a tokenizer."""
    return [turn.text for session in _train_sessions(config) for turn in session.turns]


def encoded_corpora(config: TrainConfig, encoder: TurnEncoder) -> tuple[Encoded, dict[str, Encoded]]:
    """Training sessions, and dev sessions by file stem, encoded and in reading order.

    Raises:
        DataError: a file cannot be read or holds no session with two turns.
    """
    train = _encode(_train_sessions(config), encoder, config, train_first=config.train_first_turn)
    dev = {}
    for name in config.dev:
        sessions = list(read_sessions(Path(name)))
        encoded = _encode(sessions, encoder, config, train_first=False)
        if not encoded:
            raise DataError(name, 0, "no session with at least two turns")
        dev[Path(name).name.split(".")[0]] = encoded
    return train, dev


def _train_sessions(config: TrainConfig) -> list[Session]:
    draw = random.Random(config.seed)
    out: list[Session] = []
    for name in config.data:
        path, rate = split_rate(name)
        out += sample(list(read_sessions(path)), rate, draw)
    return out


def _encode(
    sessions: list[Session], encoder: TurnEncoder, config: TrainConfig, *, train_first: bool
) -> Encoded:
    encoded = (encode_session(session, encoder) for session in sessions)
    return [
        ordered(turns, reverse=config.reverse, train_first=train_first) for turns in encoded if len(turns) > 1
    ]
