"""From the last hidden state to tokens: the tied output layer, exact where 16 bits would round too much.

The logits of a GPT-2 lie around -100, where bfloat16 knows only every half. In 16 bits the layer is therefore
computed without the mean of the embedding, which adds the same to every logit of a row, and the logits that
matter, the largest and those asked for, are computed again in float32.
"""

import torch
from torch import Tensor

from brain.engine.linear import Linear, padded, usual_rows
from brain.engine.model import NextTokens, likeliest

_CHUNK_ROWS = 64  # enough for the matrix product, few enough for the processor's cache


class Head:
    """Logits of a model whose output layer is its embedding."""

    def __init__(self, embedding: Tensor, output: Tensor | None = None) -> None:
        """Take the embedding [vocab, width] in the dtype to compute with, and an output layer."""
        self.table = embedding if output is None else output
        self.num_ids = len(self.table)
        self._is_exact = self.table.dtype == torch.float32
        if self._is_exact:
            self._mean = None
            self._linear = Linear(self.table, None)
        else:
            self._mean = torch.stack([part.float().sum(0) for part in torch.split(self.table, 4096)]).sum(0)
            self._mean /= len(self.table)  # [width], float32
            centred = torch.empty_like(self.table)
            for part, rows in zip(torch.split(centred, 4096), torch.split(self.table, 4096), strict=True):
                part.copy_(rows.float() - self._mean)
            self._linear = Linear(centred, None)

    def whole(self, hidden: Tensor) -> Tensor:
        """All logits: float32 [rows, width] to float32 [rows, vocab], rounded in 16 bits."""
        return self._centred(hidden) + self._offset(hidden)

    def next_tokens(self, hidden: Tensor, width: int) -> NextTokens:
        """What may follow each row, float32 [rows, width of the model]."""
        parts = [self._next_tokens(part, width) for part in torch.split(hidden, _CHUNK_ROWS)]
        logits, ids, floor, log_norm = (torch.cat(column) for column in zip(*parts, strict=True))

        def whole(rows: Tensor) -> Tensor:
            return self.whole(hidden[rows])[:, : self.num_ids].scatter(1, ids[rows], logits[rows])

        return NextTokens(logits, ids, floor, log_norm, whole)

    def log_probs(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Log-probabilities of given tokens: float32 [rows, width] and int64 [rows] to float32 [rows]."""
        parts = zip(torch.split(hidden, _CHUNK_ROWS), torch.split(targets, _CHUNK_ROWS), strict=True)
        return torch.cat([self._log_probs(*part) for part in parts])

    def _next_tokens(self, hidden: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        every, offset = self._centred(hidden), self._offset(hidden)
        logits, ids, floor = likeliest(every[:, : self.num_ids], width)
        logits = logits.clone()  # of what the next line overwrites, when nothing was left out
        log_norm = _log_sum_exp_(every)
        if not self._is_exact:
            exact = self._at(hidden, ids) - offset
            log_norm = _replaced(log_norm, logits, exact)
            logits = exact
        return logits + offset, ids, floor + offset.squeeze(1), log_norm + offset

    def _log_probs(self, hidden: Tensor, targets: Tensor) -> Tensor:
        every, wanted = self._centred(hidden), targets.unsqueeze(1)
        if self._is_exact:
            rough = every.gather(1, wanted)
            return (rough - _log_sum_exp_(every)).squeeze(1)
        offset = self._offset(hidden)
        top, place, _ = likeliest(every, 1)
        exact = self._at(hidden, torch.cat([place, wanted], dim=1)) - offset
        log_norm = _replaced(_log_sum_exp_(every, top), top, exact[:, :1])
        return (exact[:, 1:] - log_norm).squeeze(1)

    def _centred(self, hidden: Tensor) -> Tensor:
        """All logits less `_offset`, float32 [rows, vocab], a new tensor."""
        rows = padded(hidden.to(self._linear.dtype), usual_rows(len(hidden)))
        return self._linear(rows)[: len(hidden)].to(torch.float32, copy=True)

    def _offset(self, hidden: Tensor) -> Tensor:
        """What the mean of the table adds to every logit of a row, float32 [rows, 1]; 0 in float32."""
        if self._mean is None:
            return hidden.new_zeros(len(hidden), 1)
        return (hidden @ self._mean).unsqueeze(1)

    def _at(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Exact logits of some tokens: float32 [rows, width] and int64 [rows, few] to float32 [rows, few]."""
        return (self.table[ids].float() @ hidden.unsqueeze(2)).squeeze(2)


def _log_sum_exp_(logits: Tensor, top: Tensor | None = None) -> Tensor:
    """Log-sum-exp of rows, [rows, 1]; overwrites them, so that nothing as large is allocated."""
    top = logits.amax(-1, keepdim=True) if top is None else top
    return top + logits.sub_(top).exp_().sum(-1, keepdim=True).log_()


def _replaced(log_norm: Tensor, rough: Tensor, exact: Tensor) -> Tensor:
    """The log-sum-exp [rows, 1] after some of its terms [rows, few] became others."""
    change = (exact - log_norm).exp() - (rough - log_norm).exp()
    return log_norm + change.sum(-1, keepdim=True).log1p()
