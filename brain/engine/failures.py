"""What goes wrong inside the engine, as errors for its callers."""

import torch

from brain.errors import BrainError, EngineClosed, EngineTimeout


def closed() -> EngineClosed:
    """The engine ends before the answer is there."""
    return EngineClosed("the engine was shut down while the request waited")


def too_late() -> EngineTimeout:
    """The time of a request is over."""
    return EngineTimeout("the engine did not finish in time")


def failure(cause: BaseException) -> BrainError:
    """The model failed; the cause is kept."""
    if isinstance(cause, torch.OutOfMemoryError):
        error = BrainError("the model ran out of memory; lower brain.max_batch_rows or num_candidates")
    else:
        error = BrainError(f"the model failed: {type(cause).__name__}: {cause}")
    error.__cause__ = cause
    return error
