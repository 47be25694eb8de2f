"""The conformance kit: what the core relies on, tried on any adapter against a scripted platform."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import get_args

from bots.messages import Adapter
from bots.testing import receiving, sending, shape
from bots.testing.bench import Bench
from bots.testing.script import Fault, Platform

CANARY = "110201543:AAHcanaryCANARYcanaryCANARYcanary00"  # shaped like a token, worth nothing
Check = Callable[[Bench], Awaitable[None]]


class NotConforming(AssertionError):
    """What an adapter does other than the seam promises, one line each."""


async def check_adapter(
    make: Callable[[], Adapter], platform: Platform, *, canary: str = CANARY, timeout_s: float = 10.0
) -> None:
    """Try an adapter; return when it holds all that the core relies on.

    Args:
        make: gives a new instance connected to `platform`, with every secret set to `canary` and with short
            time-outs (a second or less).
        platform: the scripted server, without a fault set.
        canary: must appear in nothing that the adapter lets out.
        timeout_s: for each wait.
    Raises:
        NotConforming: all failures, one line each.
    """
    bench = Bench(make, platform, timeout_s)
    failures = []
    with bench.listening():
        for name, check in _checks().items():
            try:
                await check(bench)
            except Exception as error:  # what an adapter lets through is a finding, not the end of the kit
                failures.append(f"{name}: {error or type(error).__name__}")
                bench.keep(error)
            finally:
                platform.set_fault(None)
    if leak := next((text for text in bench.let_out if canary in text), None):
        failures.append(f"secrets stay inside: {_around(leak, canary)}")
    if failures:
        raise NotConforming("\n".join(failures).replace(canary, "<CANARY>"))


def _around(text: str, canary: str, num_chars: int = 200) -> str:
    """Enough of the text before and after to find the place."""
    before, _, after = text.partition(canary)
    return f"{before[-num_chars:]}<CANARY>{after[:num_chars]}"


def _checks() -> dict[str, Check]:
    faults = {f"fault {fault}": partial(sending.survives, fault=fault) for fault in get_args(Fault)}
    return {
        "shape": shape.has_the_shape,
        "limits": shape.has_sane_limits,
        "send": sending.sends_once,
        "too long": sending.refuses_what_is_too_long,
        "receive": receiving.receives_in_order,
        "accept, then acknowledge": receiving.acknowledges_after_the_commit,
        "busy": receiving.offers_again_when_busy,
        "restart": receiving.survives_a_restart,
        "killed in accept": receiving.offers_again_what_was_not_accepted,
        **faults,
    }
