"""Windows to packed batches: no padding to speak of, and no window sees its neighbours in the row."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brain.errors import DataError
from brain.finetune.examples import EncodedTurn, Window, split_at_random, windows


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch of packed rows; all tensors are [rows, row_len].

    `labels[r, p]` is the id after position p and `weights[r, p]` the weight of predicting it, 0 where nothing
    follows. `positions` restart in every window; `segments` number the windows of a row from 1, 0 is padding.
    """

    input_ids: Tensor  # int64
    labels: Tensor  # int64
    weights: Tensor  # float32
    positions: Tensor  # int64
    segments: Tensor  # int64

    @property
    def num_tokens(self) -> int:
        """Real tokens, padding not counted."""
        return int((self.segments > 0).sum())

    @property
    def fields(self) -> tuple[Tensor, ...]:
        """What the loss takes."""
        return self.input_ids, self.labels, self.weights, self.positions, self.segments

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


def pack(pieces: Sequence[Window], row_lens: Sequence[int]) -> dict[int, list[list[Window]]]:
    """Best-fit-decreasing packing: a window fills the tightest gap, else opens the shortest row it fits.

    Args:
        pieces: each at most max(row_lens) ids long.
        row_lens: ascending.
    Returns:
        The rows by row length.
    """
    by_room: list[list[list[Window]]] = [[] for _ in range(row_lens[-1] + 1)]
    rows: dict[int, list[list[Window]]] = {row_len: [] for row_len in row_lens}
    for piece in sorted(pieces, key=lambda piece: len(piece.ids), reverse=True):
        need = len(piece.ids)
        room = next((room for room in range(need, len(by_room)) if by_room[room]), None)
        if room is None:
            room = next(row_len for row_len in row_lens if row_len >= need)
            row: list[Window] = []
            rows[room].append(row)
        else:
            row = by_room[room].pop()
        row.append(piece)
        by_room[room - need].append(row)
    return rows


def collate(rows: Sequence[Sequence[Window]], num_rows: int, row_len: int) -> Batch:
    """Lay packed rows into tensors; missing rows and row ends are padding without weight."""
    ids, labels, positions, segments = (torch.zeros(num_rows, row_len, dtype=torch.int64) for _ in range(4))
    weights = torch.zeros(num_rows, row_len)
    for r, row in enumerate(rows):
        start = 0
        for segment, piece in enumerate(row, 1):
            end = start + len(piece.ids)
            ids[r, start:end] = torch.tensor(piece.ids)
            labels[r, start : end - 1] = ids[r, start + 1 : end]
            weights[r, start : end - 1] = torch.tensor(piece.weights[1:])
            positions[r, start:end] = torch.arange(end - start)
            segments[r, start:end] = segment
            start = end
    return Batch(ids, labels, weights, positions, segments)


class BatchPlan:
    """The batches of one pass over the data, a pure function of (sessions, seed, epoch)."""

    def __init__(
        self, sessions: Sequence[Sequence[EncodedTurn]], row_lens: Sequence[int], batch_tokens: int
    ) -> None:
        """Keep the encoded sessions, each already in reading order.

        Args:
            row_lens: a window lies in the shortest row that holds it; the longest is the window limit.
            batch_tokens: a batch has batch_tokens // row_len rows, at least one.
        Raises:
            DataError: there is nothing to train on.
        """
        if not any(turn.weight for turns in sessions for turn in turns[1:]):
            raise DataError("training data", 0, "no turn carries loss: every session needs a reply to learn")
        self._sessions, self._row_lens, self._batch_tokens = sessions, sorted(row_lens), batch_tokens

    def epoch(
        self, seed: int, epoch: int, *, random_split: float = 0.0, shuffle: bool = True
    ) -> list["Rows"]:
        """All batches of pass `epoch`, in order, not yet laid into tensors."""
        draw = random.Random(f"{seed} {epoch}")
        pieces = [
            window
            for turns in self._sessions
            for part in split_at_random(turns, random_split, draw)
            for window in windows(part, self._row_lens[-1])
        ]
        if shuffle:
            draw.shuffle(pieces)  # windows of one length change their neighbours from pass to pass
        batches: list[Rows] = []
        for row_len, rows in pack(pieces, self._row_lens).items():
            if shuffle:
                draw.shuffle(rows)
            size = max(1, self._batch_tokens // row_len)
            batches += [Rows(rows[i : i + size], size, row_len) for i in range(0, len(rows), size)]
        if shuffle:
            draw.shuffle(batches)
        return batches


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch before it is laid into tensors."""

    rows: list[list[Window]]
    num_rows: int
    row_len: int

    @property
    def num_bytes(self) -> int:
        """UTF-8 length of the turns that carry loss."""
        return sum(piece.num_bytes for row in self.rows for piece in row)

    @property
    def num_tokens(self) -> int:
        """Real tokens, padding not counted."""
        return sum(len(piece.ids) for row in self.rows for piece in row)

    def collate(self) -> Batch:
        """Lay into tensors of a shape that depends on row_len alone, so that compiled code is reused."""
        return collate(self.rows, self.num_rows, self.row_len)
