"""What a run learns and what it is measured by: encoded, and the measures laid into batches."""

from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from torch import nn

from brain.dialogue import Session
from brain.encoding import TurnEncoder
from brain.evaluation.memorisation import canaries
from brain.finetune.batches import BatchPlan, Rows
from brain.finetune.config import TrainConfig
from brain.finetune.corpus import Encoded, encoded, read_corpus, require_loss
from brain.finetune.memory import micro_batch_tokens
from brain.finetune.replay import replay_sessions

EVAL_TOKENS = 4096  # per batch where nothing is learnt
REPLAY_HELD_OUT = 10  # every tenth talk of the replay measures what is forgotten when nothing else does


@dataclass(frozen=True, slots=True)
class Curriculum:
    """The encoded sessions of a run in reading order, and the batches it is measured by.

    `dev` chooses the best weights, `general` tells what was forgotten; both by name.
    """

    config: TrainConfig
    train: Encoded
    replay: Encoded
    dev: dict[str, list[Rows]]
    general: dict[str, list[Rows]]
    vocab_size: int

    @property
    def facts(self) -> dict[str, int]:
        """Keys of run.json."""
        trained = sum(len(turn.ids) for turns in self.train for turn in turns if turn.weight)
        return {
            "tokens_per_epoch": _num_tokens(self.train),
            "trained_tokens_per_epoch": trained,
            "replay_tokens": _num_tokens(self.replay),
        }

    def batch_sizes(self, loss_module: nn.Module, accelerator: Accelerator, before: Any) -> tuple[int, int]:
        """Tokens per micro-batch and micro-batches per step of this process.

        Args:
            before: those of an earlier sitting, which must not change when the memory has.
        Raises:
            ConfigError: batch_tokens is auto and not one row fits the memory.
        """
        optim = self.config.optim
        if optim.batch_tokens != "auto":
            return optim.batch_tokens, optim.accumulation
        if before:
            return int(before[0]), int(before[1])
        share = -(-optim.step_tokens // accelerator.num_processes)
        return micro_batch_tokens(
            loss_module, self.vocab_size, max(optim.row_lens), share, accelerator.device
        )


def gather(config: TrainConfig, base: Any, encoder: TurnEncoder, accelerator: Accelerator) -> Curriculum:
    """Read, make up and encode the data of a run.

    Args:
        base: the model before training; it makes up the replay if there is to be one and no data for it.
    Raises:
        DataError: a file cannot be read, or there is nothing to learn.
    """
    corpus = read_corpus(config)
    require_loss(corpus.train, config)
    train = [*corpus.train, *(one.session for one in canaries(config.memorisation.canaries, config.seed))]
    replay: list[Session] = []
    if config.replay.share:
        with accelerator.main_process_first():  # who comes later finds the talks made up already
            replay = replay_sessions(base, encoder, config.replay, config.out, config.seed)
    general = dict(corpus.general)
    if replay and not general:
        general["replay"] = replay[::REPLAY_HELD_OUT]
        replay = [session for place, session in enumerate(replay) if place % REPLAY_HELD_OUT]
    return Curriculum(
        config,
        encoded(train, encoder, reverse=config.reverse, train_first=config.train_first_turn),
        encoded(replay, encoder, reverse=config.reverse, train_first=True),
        _measures(corpus.dev, config, encoder),
        _measures(general, config, encoder),
        encoder.vocab_size,
    )


def _measures(
    parts: dict[str, list[Session]], config: TrainConfig, encoder: TurnEncoder
) -> dict[str, list[Rows]]:
    row_lens = config.optim.row_lens
    batch_tokens = (
        max(EVAL_TOKENS, max(row_lens)) if config.optim.batch_tokens == "auto" else config.optim.batch_tokens
    )
    plans = {
        name: BatchPlan(encoded(sessions, encoder, reverse=config.reverse), row_lens, batch_tokens)
        for name, sessions in parts.items()
    }
    return {name: plan.epoch(0, 0, shuffle=False) for name, plan in plans.items()}


def _num_tokens(sessions: Encoded) -> int:
    return sum(len(turn.ids) for turns in sessions for turn in turns)
