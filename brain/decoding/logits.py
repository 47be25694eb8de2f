"""Filters between the model's logits and the choice of a token: pure functions, settings row by row.

Order of use: `penalize_repetition`, `ban` of `repeating_tokens`, `require_min_tokens`, then, for sampling
only, `keep_top_k`, `apply_temperature`, `keep_top_p`. A token that may not be chosen has the logit -inf.
Columns are tokens, all of them or the likeliest few of each row.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

_MIN_TEMPERATURE = 1e-6  # below it float32 overflows; the likeliest token has all the probability long before


def penalize_repetition(
    logits: Tensor, ids: Tensor, said: Sequence[Collection[int]], penalty: Sequence[float], end_id: int
) -> Tensor:
    """Make tokens that were said less likely: positive logits are divided, negative ones multiplied.

    As in transformers, the tokens of the prompt count as said, not only those of the response: an answer that
    repeats the question is the commoner fault. The end token stands in every prompt and is never punished, or
    responses would not end.

    Args:
        logits: float32 [rows, columns].
        ids: int64 [rows, columns], the token of each column.
        said: of each row, the tokens of prompt and response.
        penalty: of each row, at least 1; 1 changes nothing.
    Returns:
        float32 [rows, columns], a new tensor.
    Source: Keskar et al. 2019, section 4.1; the case of negative logits as in transformers.
    """
    logits = logits.clone()
    for row, factor in enumerate(penalty):
        if factor != 1 and (tokens := [token for token in said[row] if token != end_id]):
            punished = torch.isin(ids[row], torch.tensor(tokens, device=ids.device))
            worse = torch.where(logits[row] < 0, logits[row] * factor, logits[row] / factor)
            logits[row] = torch.where(punished, worse, logits[row])
    return logits


def repeating_tokens(response: Sequence[int], ngram: int) -> set[int]:
    """The tokens that would complete an n-gram already in the response; none when `ngram` is 0.

    Source: Paulus et al. 2018, section 2.5, for any n.
    """
    if ngram < 1 or len(response) < ngram:
        return set()
    newest = tuple(response[len(response) - ngram + 1 :])
    return {
        response[at + ngram - 1]
        for at in range(len(response) - ngram + 1)
        if tuple(response[at : at + ngram - 1]) == newest
    }


def ban(logits: Tensor, ids: Tensor, banned: Sequence[Collection[int]]) -> Tensor:
    """Ban some tokens of each row.

    Args:
        logits: float32 [rows, columns].
        ids: int64 [rows, columns], the token of each column, no token twice.
        banned: of each row, the tokens.
    Returns:
        float32 [rows, columns], a new tensor.
    """
    pairs = [(row, token) for row, tokens in enumerate(banned) for token in tokens]
    logits = logits.clone()
    if pairs:
        rows, tokens = (torch.tensor(column, device=ids.device) for column in zip(*pairs, strict=True))
        pair, column = (ids[rows] == tokens.unsqueeze(1)).nonzero(as_tuple=True)
        logits[rows[pair], column] = -torch.inf
    return logits


def require_min_tokens(logits: Tensor, ids: Tensor, is_short: Sequence[bool], end_id: int) -> Tensor:
    """Ban the end token while a response is too short, unless everything else in the row is banned already.

    Args:
        logits: float32 [rows, columns].
        ids: int64 [rows, columns], the token of each column.
        is_short: of each row, whether the response needs more tokens.
    Returns:
        float32 [rows, columns], a new tensor.
    """
    banned = ban(logits, ids, [(end_id,) if short else () for short in is_short])
    stuck = banned.amax(-1, keepdim=True) == -torch.inf
    return torch.where(stuck, logits, banned)


def apply_temperature(logits: Tensor, temperature: Tensor) -> Tensor:
    """Divide by the temperature, after moving each row's largest logit to 0 so that nothing overflows.

    Args:
        logits: float32 [rows, vocab].
        temperature: float32 [rows], positive.
    Returns:
        float32 [rows, vocab], a new tensor with the same likeliest tokens.
    """
    return (logits - logits.amax(-1, keepdim=True)) / temperature.clamp_min(_MIN_TEMPERATURE).unsqueeze(1)


def keep_top_k(logits: Tensor, top_k: Tensor) -> Tensor:
    """Keep the k largest logits of each row and all that tie with the k-th; the rest become -inf.

    Args:
        logits: float32 [rows, vocab].
        top_k: int64 [rows]; 0 or less, or vocab and more, keeps everything.
    Returns:
        float32 [rows, vocab], a new tensor.
    Source: Fan et al. 2018, section 5.
    """
    return logits.masked_fill(logits < _kth_logit(logits, top_k), -torch.inf)


def keep_top_p(logits: Tensor, top_p: Tensor) -> Tensor:
    """Keep the likeliest tokens until their probability exceeds p; the rest become -inf.

    The token that crosses p is kept, so at least one survives. Tokens banned before have no share.

    Args:
        logits: float32 [rows, vocab], already divided by temperature and cut to the top k.
        top_p: float32 [rows]; 0 or less, or 1 and more, keeps everything.
    Returns:
        float32 [rows, vocab], a new tensor.
    Source: Holtzman et al. 2020, section 3.1.
    """
    values, order = logits.sort(dim=-1, descending=True, stable=True)
    probs = values.double().softmax(-1)
    before = probs.cumsum(-1) - probs  # what the likelier tokens have together
    limit = torch.where((top_p > 0) & (top_p < 1), top_p.double(), torch.inf)
    dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, before > limit.unsqueeze(1))
    return logits.masked_fill(dropped, -torch.inf)


def _kth_logit(logits: Tensor, top_k: Tensor) -> Tensor:
    vocab = logits.shape[-1]
    is_off = (top_k <= 0) | (top_k >= vocab)
    rank = top_k.masked_fill(is_off, 1)
    values = logits.topk(int(rank.max()), dim=-1).values  # [rows, largest k]
    return values.gather(1, (rank - 1).unsqueeze(1)).masked_fill(is_off.unsqueeze(1), -torch.inf)
