"""From what the model says to what each request makes of it: filters and one draw per row.

Mostly the likeliest few tokens of each row are enough. Where a request wants more of the distribution, or its
filters have eaten into the few, the whole of it is fetched for that request's rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brain.config import DecodingConfig
from brain.decoding import logits as filters
from brain.decoding.sampling import sample, settings_from_decodings
from brain.engine.groups import Group, Step
from brain.engine.model import NextTokens

_SPARE = 14  # columns beyond those wanted, for bans and ties
_MOST_WANTED = 128  # beyond it the whole distribution is cheaper


@dataclass(frozen=True, slots=True)
class Asking:
    """A group, and how its request is decoded; `prompt_ids` count for its repetition penalty."""

    group: Group
    decoding: DecodingConfig
    prompt_ids: frozenset[int]


def width_for(decodings: Sequence[DecodingConfig]) -> int:
    """How many of the likeliest tokens to ask the model for."""
    return max(num_wanted(decoding) or 0 for decoding in decodings) + _SPARE


def num_wanted(decoding: DecodingConfig) -> int | None:
    """How many tokens a method looks at in one row; None for all."""
    if decoding.method == "greedy":
        return 1
    wanted = 2 * decoding.num_beams if decoding.method == "beam" else decoding.top_k
    return wanted if 0 < wanted <= _MOST_WANTED else None


def steps(asking: Sequence[Asking], following: NextTokens, end_id: int) -> list[Step]:
    """One step for each group.

    Args:
        following: what may follow the rows of all groups, in their order.
    """
    spans, start = [], 0
    for one in asking:
        spans.append(range(start, start + len(one.group.responses)))
        start += len(spans[-1])
    allowed = _filtered(asking, following.logits, following.ids, end_id, following.floor)
    is_enough = _is_enough(asking, allowed, following.floor)
    found: dict[int, Step] = {}
    for is_whole in (False, True):
        chosen = [
            number for number, span in enumerate(spans) if all(is_enough[row] for row in span) != is_whole
        ]
        if not chosen:
            continue
        index = torch.tensor([row for number in chosen for row in spans[number]], device=allowed.device)
        part = [asking[number] for number in chosen]
        log_norm = following.log_norm[index]
        if is_whole:
            logits = following.whole(index)
            ids = torch.arange(logits.shape[1], device=logits.device).expand_as(logits)
            complete = logits.new_full((len(logits),), -torch.inf)
            step = _drawn(part, logits, _filtered(part, logits, ids, end_id, complete), ids, log_norm)
        else:
            step = _drawn(part, following.logits[index], allowed[index], following.ids[index], log_norm)
        at = 0
        for number in chosen:
            found[number] = _part(step, slice(at, at + len(spans[number])))
            at += len(spans[number])
    return [found[number] for number in range(len(asking))]


def _filtered(asking: Sequence[Asking], logits: Tensor, ids: Tensor, end_id: int, floor: Tensor) -> Tensor:
    """Logits [rows, columns] after the hard filters and the repetition penalty; `floor` as in NextTokens."""
    rows = [(one, response) for one in asking for response in one.group.responses]
    if any(one.decoding.repetition_penalty != 1 for one in asking):
        said = [
            one.prompt_ids.union(response) if one.decoding.repetition_penalty != 1 else ()
            for one, response in rows
        ]
        penalty = [one.decoding.repetition_penalty for one, _ in rows]
        logits = filters.penalize_repetition(logits, ids, said, penalty, end_id)
    banned = [filters.repeating_tokens(response, one.decoding.no_repeat_ngram) for one, response in rows]
    if any(banned):
        logits = filters.ban(logits, ids, banned)
    is_short = [len(response) < one.decoding.min_new_tokens for one, response in rows]
    if any(is_short):
        # Whether the end token is all that is left can only be seen where no token is missing.
        ended = filters.ban(logits, ids, [(end_id,) if short else () for short in is_short])
        complete = filters.require_min_tokens(logits, ids, is_short, end_id)
        logits = torch.where((floor == -torch.inf).unsqueeze(1), complete, ended)
    return logits


def _is_enough(asking: Sequence[Asking], allowed: Tensor, floor: Tensor) -> list[bool]:
    """Whether no token that is missing from a row could be among those its request looks at."""
    wanted = [num_wanted(one.decoding) for one in asking for _ in one.group.responses]
    deepest = min(max((number or 1) for number in wanted), allowed.shape[1])
    best = allowed.topk(deepest, dim=-1).values  # [rows, deepest]
    rank = torch.tensor([min(number or 1, deepest) - 1 for number in wanted], device=allowed.device)
    last = best.gather(1, rank.unsqueeze(1)).squeeze(1)
    is_complete = floor == -torch.inf
    enough = ((last > floor) | is_complete).tolist()
    complete = is_complete.tolist()
    return [
        done if number is None else (good and (done or number <= deepest))
        for number, good, done in zip(wanted, enough, complete, strict=True)
    ]


def _drawn(asking: Sequence[Asking], logits: Tensor, allowed: Tensor, ids: Tensor, log_norm: Tensor) -> Step:
    """Draw a token for each row."""
    decodings = [one.decoding for one in asking for _ in one.group.responses]
    numbers = [number for one in asking for number in one.group.uniform()]
    uniform = torch.tensor(numbers, dtype=torch.float64, device=allowed.device)
    columns = sample(allowed, settings_from_decodings(decodings, allowed.device), uniform).unsqueeze(1)
    logprobs = (logits.gather(1, columns) - log_norm).squeeze(1)
    return Step(logits, allowed, ids, log_norm, ids.gather(1, columns).squeeze(1).tolist(), logprobs.tolist())


def _part(step: Step, rows: slice) -> Step:
    return Step(
        step.logits[rows],
        step.allowed[rows],
        step.ids[rows],
        step.log_norm[rows],
        step.drawn[rows],
        step.logprobs[rows],
    )
