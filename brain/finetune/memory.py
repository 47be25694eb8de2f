"""How much one micro-batch may hold: measured on one row, scaled to the memory that is free."""

from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from brain.errors import ConfigError
from brain.finetune.batches import collate
from brain.finetune.examples import Window

USABLE = 0.6  # share of the free memory that activations may take; the rest is for gradients and neighbours
LOGIT_COPIES = 4  # of float32 [tokens, vocab] alive at once in the loss and its gradient
CGROUP_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)  # version 2 and 1: what a container may use


def micro_batch_tokens(
    loss_module: nn.Module, vocab_size: int, row_len: int, step_tokens: int, device: torch.device
) -> tuple[int, int]:
    """The largest micro-batch that fits the free memory, and how many of them make one step.

    One row is run forward with every saved activation counted, so that no memory has to run out first.

    Args:
        loss_module: takes the fields of a packed batch, as `brain.finetune.train.DialogueLoss`.
        row_len: of the longest row, tokens.
        step_tokens: of one optimiser step in this process.
    Returns:
        (tokens per micro-batch, padding included; accumulation), their product at least step_tokens.
    Raises:
        ConfigError: not even one row fits.
    """
    per_row = _saved_bytes(loss_module, row_len, device) + LOGIT_COPIES * 4 * vocab_size * row_len
    num_rows = int(USABLE * free_bytes(device) / per_row)
    if num_rows < 1:
        raise ConfigError(
            f"optim.batch_tokens: one row of {row_len} tokens needs {per_row / 2**20:,.0f} MiB, "
            f"which are not free; "
            f"lower row_lens or set optim.checkpointing = true"
        )
    wanted = max(1, step_tokens // row_len)
    accumulation = -(-wanted // min(num_rows, wanted))
    return -(-wanted // accumulation) * row_len, accumulation


def free_bytes(device: torch.device) -> int:
    """Memory that can still be used: of the GPU, or of the machine within the limits of its container."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = int(psutil.virtual_memory().available)
    for limit, used in CGROUP_LIMITS:
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such group, or "max" for no limit
            continue
    return max(0, free)


def _saved_bytes(loss_module: nn.Module, row_len: int, device: torch.device) -> int:
    """Bytes that autograd keeps of one row for the way back, weights not counted."""
    batch = collate([[Window([0] * row_len, [1.0] * row_len, 0)]], 1, row_len).to(device)
    weights = {p.untyped_storage().data_ptr() for p in loss_module.parameters()}
    kept: dict[int, int] = {}

    def count(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        loss_module(batch.fields)
    return sum(kept.values())
