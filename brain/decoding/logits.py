"""Filters between the model's logits and the choice of a token: pure functions, settings row by row.

Order of use: `penalize_repetition`, `ban_repeated_ngrams`, `require_min_tokens`, then, for sampling only,
`keep_top_k`, `apply_temperature`, `keep_top_p`. A token that may not be chosen has the logit -inf.
"""

import torch
from torch import Tensor

_MIN_TEMPERATURE = 1e-6  # below it float32 overflows; the likeliest token has all the probability long before


def penalize_repetition(logits: Tensor, said: Tensor, penalty: Tensor, end_id: int) -> Tensor:
    """Make tokens that were said less likely: positive logits are divided, negative ones multiplied.

    As in transformers, the tokens of the prompt count as said, not only those of the response: an answer that
    repeats the question is the commoner fault. The end token stands in every prompt and is never punished, or
    responses would not end.

    Args:
        logits: float32 [rows, vocab].
        said: int64 [rows, said_len], prompt and response, padded anywhere with `end_id`.
        penalty: float32 [rows], at least 1; 1 changes nothing.
    Returns:
        float32 [rows, vocab], a new tensor.
    Source: Keskar et al. 2019, section 4.1; the case of negative logits as in transformers.
    """
    old = logits.gather(1, said)  # [rows, said_len]
    factor = penalty.unsqueeze(1)
    new = torch.where(old < 0, old * factor, old / factor)
    return logits.scatter(1, said, torch.where(said == end_id, old, new))


def ban_repeated_ngrams(logits: Tensor, responses: Tensor, ngram: Tensor) -> Tensor:
    """Ban each token that would complete an n-gram already in the response.

    Args:
        logits: float32 [rows, vocab].
        responses: int64 [rows, response_len], without end token.
        ngram: int64 [rows], n; 0 or less is off.
    Returns:
        float32 [rows, vocab], a new tensor.
    Source: Paulus et al. 2018, section 2.5, for any n.
    """
    logits = logits.clone()
    for n in {int(n) for n in ngram.tolist() if 0 < n <= responses.shape[1]}:
        windows = responses.unfold(1, n, 1)  # [rows, response_len - n + 1, n]
        newest = responses[:, responses.shape[1] - n + 1 :].unsqueeze(1)  # [rows, 1, n - 1]
        repeated = (windows[..., :-1] == newest).all(-1) & (ngram == n).unsqueeze(1)
        row, place = repeated.nonzero(as_tuple=True)
        logits[row, windows[row, place, -1]] = -torch.inf
    return logits


def require_min_tokens(logits: Tensor, response_len: int, min_new_tokens: Tensor, end_id: int) -> Tensor:
    """Ban the end token while the response is too short, unless everything else is banned already.

    Args:
        logits: float32 [rows, vocab].
        response_len: tokens every row has so far.
        min_new_tokens: int64 [rows].
    Returns:
        float32 [rows, vocab], a new tensor.
    """
    banned = logits.clone()
    banned[:, end_id] = banned[:, end_id].masked_fill(min_new_tokens > response_len, -torch.inf)
    stuck = banned.amax(-1) == -torch.inf
    banned[:, end_id] = torch.where(stuck, logits[:, end_id], banned[:, end_id])
    return banned


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


def shortlist(logits: Tensor, top_k: Tensor) -> tuple[Tensor, Tensor]:
    """A narrow piece of the logits that holds all the top k will keep, so that later work is on few columns.

    Args:
        logits: float32 [rows, vocab].
        top_k: int64 [rows].
    Returns:
        The logits, float32 [rows, width], and their token ids, int64 [rows, width], ids rising in each row.
        The width is vocab when some row has no top k, or has more ties with its k-th logit than fit.
    """
    rows, vocab = logits.shape
    width = int(top_k.max()) + 8  # room for ties
    if width < vocab and int(top_k.min()) > 0:
        values, columns = logits.topk(width, dim=-1)
        kth = values.gather(1, (top_k - 1).unsqueeze(1))
        if not bool(((values[:, -1:] >= kth) & (kth > -torch.inf)).any()):
            columns, order = columns.sort(-1)
            return values.gather(1, order), columns
    return logits, torch.arange(vocab, device=logits.device).expand(rows, vocab)


def _kth_logit(logits: Tensor, top_k: Tensor) -> Tensor:
    vocab = logits.shape[-1]
    is_off = (top_k <= 0) | (top_k >= vocab)
    rank = top_k.masked_fill(is_off, 1)
    values = logits.topk(int(rank.max()), dim=-1).values  # [rows, largest k]
    return values.gather(1, (rank - 1).unsqueeze(1)).masked_fill(is_off.unsqueeze(1), -torch.inf)
