"""The data of one run: files to encoded sessions, in reading order, some of them held out."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from brain.dialogue import Session
from brain.encoding import TurnEncoder
from brain.errors import DataError
from brain.finetune.config import TrainConfig
from brain.finetune.examples import EncodedTurn, encode_session, ordered
from brain.finetune.sessions import read_sessions, sample, split_rate

Encoded = list[list[EncodedTurn]]
HELD_OUT = "held_out"  # the name of what `holdout` keeps back


@dataclass(frozen=True, slots=True)
class Corpus:
    """What one run reads, each session with the weights it is trained by.

    `train` is learnt, `dev` chooses the best weights, `general` is only measured; the last two by file stem.
    """

    train: list[Session]
    dev: dict[str, list[Session]]
    general: dict[str, list[Session]]


def texts(config: TrainConfig) -> list[str]:
    """All training turns, for learning a tokenizer."""
    return [turn.text for session in _read_all(config.data, config.seed) for turn in session.turns]


def read_corpus(config: TrainConfig) -> Corpus:
    """Read the files of a run, weigh the turns by speaker, and hold a part out when that is asked for.

    Raises:
        DataError: a file cannot be read or has no session of two turns, the speaker says nothing, or the
            data is too small to hold anything out.
    """
    train = _weighed(_read_all(config.data, config.seed), config, config.data[0])
    dev = {
        _stem(name): _weighed(list(read_sessions(Path(name))), config, name, is_dev=True)
        for name in config.dev
    }
    if config.holdout and not config.dev:
        train, dev[HELD_OUT] = hold_out(train, config)
    general = {_stem(name): list(read_sessions(Path(name))) for name in config.general}
    for name, sessions in (*zip(config.dev, dev.values(), strict=False), *general.items()):
        if not sessions:
            raise DataError(name, 0, "no session with at least two turns")
    return Corpus(train, dev, general)


def hold_out(sessions: Sequence[Session], config: TrainConfig) -> tuple[list[Session], list[Session]]:
    """Split off a share of the sessions, drawn by the seed; copies of one session stay on one side.

    Raises:
        DataError: there are too few sessions.
    """
    distinct = sorted(
        {session.turns for session in sessions}, key=lambda turns: [turn.text for turn in turns]
    )
    num_held = max(1, round(config.holdout * len(distinct)))
    if num_held >= len(distinct):
        raise DataError(
            config.data[0],
            0,
            f"{len(distinct)} session is too little to hold a part out; use holdout = 0",
        )
    held = set(random.Random(f"{config.seed} hold out").sample(distinct, num_held))
    train = [session for session in sessions if session.turns not in held]
    return train, [session for session in sessions if session.turns in held]


def encoded(
    sessions: Iterable[Session], encoder: TurnEncoder, *, reverse: bool, train_first: bool = False
) -> Encoded:
    """Tokenise sessions in the reading order of the forward or the reverse model; too short ones fall out."""
    turns_of = (encode_session(session, encoder) for session in sessions)
    return [ordered(turns, reverse=reverse, train_first=train_first) for turns in turns_of if len(turns) > 1]


def require_loss(sessions: Sequence[Session], config: TrainConfig) -> None:
    """Refuse data from which nothing can be learnt, saying why.

    Raises:
        DataError: no session has two turns, one speaker talks alone, or every weight is 0.
    """
    where = config.data[0]
    if not sessions:
        raise DataError(where, 0, "no session with at least two turns: one speaker alone answers nobody")
    speakers = {turn.speaker for session in sessions for turn in session.turns}
    if len(speakers) == 1 and "" not in speakers:
        raise DataError(where, 0, f"only one speaker, '{speakers.pop()}': a reply needs somebody to answer")
    if config.reverse:
        return
    if not any(weight for session in sessions for weight in session.weights):
        raise DataError(where, 0, "no turn carries loss: every weight is 0; give the turns to learn a weight")
    if not (config.train_first_turn or any(any(session.weights[1:]) for session in sessions)):
        raise DataError(where, 0, "no turn carries loss: every session needs a reply to learn")


def _weighed(
    sessions: list[Session], config: TrainConfig, where: str, *, is_dev: bool = False
) -> list[Session]:
    """Give loss to the turns of the run's speaker alone, if it has one."""
    if not config.speaker:
        return sessions
    said = Counter(turn.speaker for session in sessions for turn in session.turns)
    if not said[config.speaker] and not is_dev:
        known = ", ".join(f"'{name}'" for name, _ in said.most_common(8) if name) or "none that is named"
        raise DataError(where, 0, f"no turn is said by '{config.speaker}'; there are: {known}")
    return [
        replace(
            session,
            weights=tuple(
                weight if turn.speaker == config.speaker else 0.0
                for turn, weight in zip(session.turns, session.weights, strict=True)
            ),
        )
        for session in sessions
    ]


def _read_all(names: Iterable[str], seed: int) -> list[Session]:
    draw = random.Random(seed)
    out: list[Session] = []
    for name in names:
        path, rate = split_rate(name)
        out += sample(list(read_sessions(path)), rate, draw)
    return out


def _stem(name: str) -> str:
    return Path(name).name.split(".")[0]
