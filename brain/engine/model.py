"""What the decode loop asks of a model: read prompts, step rows, score spans. No tensors but logits pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from brain.engine.lora import Loras, LoraWeights, StoredLora
from brain.protocols import Span

FRESH = -1  # the `source` of a row that has only its prefix behind it


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the next step.

    `prefix` is what `Model.prefill` gave for its prompt; `source` the place, in the step before, of the row
    that it continues, or FRESH; `token` what it adds.
    """

    prefix: int
    source: int
    token: int


@dataclass(frozen=True, slots=True)
class NextTokens:
    """What the model says of the next token of each row: the likeliest ones, and all of them when asked.

    `logits` float32 [rows, width] and `ids` int64 [rows, width], ids rising; every token that is not among
    them has a logit of at most `floor`, float32 [rows], -inf when none is missing. `log_norm` float32 [rows,
    1] is the log-sum-exp over the model's whole vocabulary. `whole` gives float32 [chosen, ids] for some
    rows.
    """

    logits: Tensor
    ids: Tensor
    floor: Tensor
    log_norm: Tensor
    whole: Callable[[Tensor], Tensor]


@dataclass(slots=True)
class Usage:
    """Counts since the start: tokens read, tokens taken from kept prefixes, rows stepped, tokens scored."""

    prefilled: int = 0
    reused: int = 0
    stepped: int = 0
    scored: int = 0


class Model(Protocol):
    """A language model and the keys and values of the rows it decodes; used from one thread."""

    @property
    def device(self) -> torch.device:
        """Where logits are."""

    @property
    def vocab_size(self) -> int:
        """Rows of the output layer; the tokenizer may know fewer ids."""

    @property
    def max_positions(self) -> int:
        """Tokens of prompt and response together."""

    @property
    def usage(self) -> Usage:
        """What it has done so far."""

    @property
    def kept_bytes(self) -> int:
        """Memory of prefixes kept for a chat's next turn."""

    def limit_ids(self, num_ids: int) -> None:
        """Offer no token from num_ids on: the tokenizer does not know it."""

    def take_lora(self, weights: StoredLora) -> LoraWeights:
        """Make LoRA weights ready to be used beside the model's own.

        Raises:
            CheckpointError: they are not for this model, or it can use none.
        """

    def prefill(
        self, prompts: Sequence[Sequence[int]], width: int, loras: Loras = ()
    ) -> tuple[list[int], NextTokens]:
        """Read prompts of any lengths; returns a key for each, and what may follow it.

        Args:
            loras: the weights of each prompt and of all rows that will continue it; empty for the base's own.
        """

    def step(self, rows: Sequence[Row], width: int) -> NextTokens:
        """Append a token to each row; rows of the step before that nobody continues are gone."""

    def release(self, prefix: int) -> None:
        """No row will continue this prompt any more."""

    def reset(self) -> None:
        """Forget all rows and prompts, after a failure."""

    def score(self, spans: Sequence[Span], loras: Loras = ()) -> list[float]:
        """log P(target | context) of each span: natural log, summed over the target's tokens.

        Args:
            loras: the weights of each span; empty for the base's own.
        """

    def score_chunks(self, spans: Sequence[Span]) -> list[list[int]]:
        """Cut spans into groups that `score` takes at once; returns their indices."""


def likeliest(logits: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `width` largest logits of each row.

    The largest of blocks are found first, so that the search itself runs over few columns: the `width`
    largest lie in the `width` blocks with the largest maxima.

    Args:
        logits: [rows, columns].
    Returns:
        Their values [rows, width], ids int64 [rows, width] rising, and the smallest of them [rows], -inf when
        nothing was left out.
    """
    rows, columns = logits.shape
    if width >= columns:
        ids = torch.arange(columns, device=logits.device).expand(rows, columns)
        return logits, ids, logits.new_full((rows,), -torch.inf)
    if columns < _BLOCK * width * 2:
        ids = logits.topk(width, dim=-1).indices
    else:
        num_blocks = columns // _BLOCK
        blocks = logits[:, : num_blocks * _BLOCK].view(rows, num_blocks, _BLOCK).amax(-1)
        best = blocks.topk(width, dim=-1).indices.unsqueeze(2) * _BLOCK  # [rows, width, 1]
        within = torch.arange(_BLOCK, device=logits.device)
        rest = torch.arange(num_blocks * _BLOCK, columns, device=logits.device).expand(rows, -1)
        places = torch.cat([(best + within).flatten(1), rest], dim=1)  # [rows, width * block + rest]
        ids = places.gather(1, logits.gather(1, places).topk(width, dim=-1).indices)
    ids = ids.sort(dim=-1).values
    values = logits.gather(1, ids)
    return values, ids, values.amin(-1)


_BLOCK = 64  # columns
