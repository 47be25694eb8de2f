"""Attention in two shapes: over whole texts, and of decoded rows over a shared prefix and their own suffix.

Cascade attention: the rows of one prompt share its keys and values, which are read once per step, not once
per row; both parts are joined by their log-sum-exps (Juravsky et al. 2024, "Hydragen", section 3.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from brain.engine.cache import Bucket, Suffixes

_ATEN = cast(Any, torch.ops).aten


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Attention of every query to all keys that the mask leaves.

    Args:
        q: [batch, heads, queries, head_size]; k, v: [batch, heads, keys, head_size].
        mask: added to the scores, [batch, 1, 1, keys], 0 or -inf, of q's dtype.
    Returns:
        The outputs, as q, and the log-sum-exps of the scaled scores, float32 [batch, heads, queries].
    """
    if q.device.type == "cpu" and q.dtype in (torch.float32, torch.bfloat16):
        return cast(
            tuple[Tensor, Tensor], _ATEN._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask)
        )
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores + mask.float()
    log_sums = scores.logsumexp(-1)
    return (scores - log_sums.unsqueeze(-1)).exp().to(v.dtype) @ v, log_sums


def attend_causally(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention within texts, each query to the keys up to its own place; the last query sees all keys.

    Args:
        q: [batch, heads, queries, head_size]; k, v: [batch, heads, keys, head_size], at least as many keys as
            queries: those before are what was read earlier.
    """
    queries, keys = q.shape[2], k.shape[2]
    if queries == keys:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    if queries == 1:
        return F.scaled_dot_product_attention(q, k, v)
    mask = torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril(keys - queries)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


@dataclass(frozen=True, slots=True)
class _Shared:
    """One bucket of prefixes and who reads it.

    `rows` int64 [slots, most rows of a slot] are places, padded with 0; `mask` hides what is beyond a prefix.
    """

    bucket: Bucket
    rows: Tensor
    num_keys: int
    mask: Tensor | None


class SplitAttention:
    """Attention of one step's rows, planned once and used in every layer.

    With `is_fixed` all shapes are powers of two or those of whole blocks, so that steps with a few rows or
    tokens more or less are the same work on other numbers, which a CUDA graph can repeat. What is too much is
    masked or falls under the table.
    """

    def __init__(
        self,
        buckets: Sequence[Bucket],
        prefix_of: Sequence[int],
        suffixes: Suffixes,
        *,
        is_fixed: bool = False,
    ) -> None:
        """Plan a step.

        Args:
            buckets: all prefixes in use, and maybe others.
            prefix_of: the key of each place's prefix.
            suffixes: arranged for the step; each row's new keys and values go to the end of its suffix.
        """
        self._suffixes = suffixes
        self.num_places = power_of_two(len(prefix_of)) if is_fixed else len(prefix_of)
        suffixes.reserve(self.num_places, max(suffixes.lens) + 1)
        device, dtype = suffixes.kv.device, suffixes.kv.dtype
        lens = [*suffixes.lens, *[0] * (self.num_places - len(prefix_of))]
        self._longest = suffixes.kv.shape[4] if is_fixed else max(lens) + 1
        self._is_even = not is_fixed and min(lens) + 1 == self._longest
        self._places = torch.arange(self.num_places, device=device)
        self._lens = torch.tensor(lens, device=device)
        self._suffix_mask = None
        if not self._is_even:
            beyond = torch.arange(self._longest, device=device) > self._lens.unsqueeze(1)
            self._suffix_mask = _mask(beyond, dtype)
        rows_of: dict[int, list[int]] = {}
        for place, key in enumerate(prefix_of):
            rows_of.setdefault(key, []).append(place)
        self._shared: list[_Shared] = []
        origin = [0] * self.num_places  # of each place, among the outputs of all buckets in a row
        start = 0
        for bucket in buckets:
            groups = [rows_of.get(key, []) for key in bucket.keys]
            width = max(map(len, groups), default=0)
            if width == 0:
                continue
            if is_fixed:
                groups += [[]] * (bucket.kv.shape[2] - len(groups))
                width = power_of_two(width)
            for slot, group in enumerate(groups):
                for column, place in enumerate(group):
                    origin[place] = start + slot * width + column
            start += len(groups) * width
            self._shared.append(_share(bucket, groups, width, is_fixed))
        is_whole = start == self.num_places and origin == list(range(start))
        self._is_one_prompt = not is_fixed and is_whole and len(self._shared) == 1
        self._origin = torch.tensor(origin, device=device)

    @property
    def storage(self) -> tuple[object, ...]:
        """Equal for two fixed plans that do the same work on the same memory."""
        shared = [(one.bucket.kv.data_ptr(), *one.rows.shape, one.num_keys) for one in self._shared]
        return (self.num_places, self._suffixes.kv.data_ptr(), self._longest, *shared)

    @property
    def numbers(self) -> list[Tensor]:
        """What differs between two fixed plans of equal storage."""
        masks = [one.mask for one in self._shared]
        found = [self._lens, self._suffix_mask, self._origin, *[one.rows for one in self._shared], *masks]
        return [tensor for tensor in found if tensor is not None]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store the new keys and values and attend.

        Args:
            q, k, v: [rows, heads, head_size], by place.
        Returns:
            [rows, heads * head_size].
        """
        own = self._suffixes.kv[layer]
        if self._is_even:
            own[0, : len(k), :, self._longest - 1] = k
            own[1, : len(v), :, self._longest - 1] = v
        else:
            own[0, self._places, :, self._lens] = k
            own[1, self._places, :, self._lens] = v
        keys, values = own[:, : len(k), :, : self._longest]
        near, near_log = attend(q.unsqueeze(2), keys, values, self._suffix_mask)
        far, far_log = self._attend_prefixes(layer, q)
        share = torch.sigmoid(near_log.squeeze(2) - far_log).unsqueeze(2)  # of the suffix, [rows, heads, 1]
        joined = torch.lerp(far.float(), near.squeeze(2).float(), share)
        return joined.flatten(1).to(q.dtype)

    def _attend_prefixes(self, layer: int, q: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [rows, heads, head_size] and log-sum-exps [rows, heads]."""
        outs, logs = [], []
        for shared in self._shared:
            slots, width = shared.rows.shape
            grouped = q if self._is_one_prompt else q[shared.rows.flatten()]
            grouped = grouped.view(slots, width, *q.shape[1:]).transpose(1, 2)
            keys, values = shared.bucket.kv[layer, :, :slots, :, : shared.num_keys]
            out, log_sums = attend(grouped, keys, values, shared.mask)
            outs.append(out.transpose(1, 2).flatten(0, 1))
            logs.append(log_sums.transpose(1, 2).flatten(0, 1))
        if self._is_one_prompt:
            return outs[0], logs[0]
        return torch.cat(outs)[self._origin], torch.cat(logs)[self._origin]


def power_of_two(number: int) -> int:
    """The smallest one that is not less."""
    return 1 << max(number - 1, 0).bit_length()


def _share(bucket: Bucket, groups: Sequence[Sequence[int]], width: int, is_fixed: bool) -> _Shared:
    device, dtype = bucket.kv.device, bucket.kv.dtype
    rows = torch.tensor([[*group, *[0] * (width - len(group))] for group in groups], device=device)
    num_keys = bucket.capacity if is_fixed else max(bucket.lens)
    if not is_fixed and min(bucket.lens) == num_keys:
        return _Shared(bucket, rows, num_keys, None)
    lens = [*bucket.lens, *[1] * (len(groups) - len(bucket.lens))]  # an empty slot would give NaN
    beyond = torch.arange(num_keys, device=device) >= torch.tensor(lens, device=device).unsqueeze(1)
    return _Shared(bucket, rows, num_keys, _mask(beyond, dtype))


def _mask(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where bool [batch, keys] is false, -inf where it is true, as [batch, 1, 1, keys]."""
    mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    return mask.masked_fill(hidden, -torch.inf)[:, None, None]
