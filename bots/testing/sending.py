"""Checks of `send`, and of both directions while the platform misbehaves."""

import asyncio
from uuid import uuid4

from bots.errors import (
    AdapterError,
    AdapterUnauthorized,
    ChatGone,
    DeliveryError,
    MessageTooLong,
    RetryAfter,
    SendFailed,
)
from bots.messages import Adapter
from bots.testing.bench import SETTLE_S, Bench
from bots.testing.script import Fault

_EXPECTED: dict[Fault, tuple[type[AdapterError], ...]] = {
    "unauthorized": (AdapterUnauthorized, DeliveryError),
    "rate_limited": (RetryAfter, SendFailed),
    "gone": (ChatGone,),
    "server_error": (SendFailed,),
    "silent": (SendFailed,),
    "garbled": (SendFailed,),
    "down": (SendFailed,),
}


async def sends_once(bench: Bench) -> None:
    """One message arrives once and is named; a repeated nonce adds none where caps say so."""
    async with bench.running(bench.sink()) as trial:
        text = bench.words()
        message = bench.outgoing(text, nonce=uuid4().hex[:24])
        ref = await bench.within(trial.adapter.send(message))
        assert ref.id, "MessageRef.id is empty"
        assert ref.chat == bench.platform.chat, f"MessageRef.chat is {ref.chat}"
        if trial.adapter.caps.nonce:
            await bench.within(trial.adapter.send(message))
        shown = sum(text in seen for seen in bench.platform.texts())
        assert shown == 1, f"one message was shown {shown} times"


async def refuses_what_is_too_long(bench: Bench) -> None:
    """The core splits; what is too long nevertheless is not cut in silence."""
    async with bench.running(bench.sink()) as trial:
        limits = trial.adapter.limits
        before = len(bench.platform.texts())
        for char in ("a", "\N{WAVING HAND SIGN}"):
            text = char * (limits.max_len // limits.length(char) + 1)
            try:
                await bench.within(trial.adapter.send(bench.outgoing(text)))
            except MessageTooLong as error:
                bench.keep(error)
            else:
                raise AssertionError(f"{limits.length(text)} units were taken, max_len is {limits.max_len}")
        assert len(bench.platform.texts()) == before, "a part of it was shown"


async def survives(bench: Bench, fault: Fault) -> None:
    """Under a fault `send` raises the right error, `run` goes on or raises an AdapterError; then it works."""
    sink = bench.sink()
    async with bench.running(sink) as trial:
        if not bench.platform.set_fault(fault):
            return
        await _fails_well(bench, trial.adapter, fault)
        await asyncio.sleep(SETTLE_S)
        bench.platform.set_fault(None)
        if not trial.task.done():
            text = bench.words()
            await bench.platform.say(text)
            await trial.until(lambda seen: text in seen.said(), "nothing arrived after it had passed")
            await bench.within(trial.adapter.send(bench.outgoing(bench.words())))
            return
    error = trial.task.exception()
    assert isinstance(error, AdapterError), f"run raised {error!r}, which is no AdapterError"
    async with bench.running(bench.sink()):
        pass


async def _fails_well(bench: Bench, adapter: Adapter, fault: Fault) -> None:
    if fault not in _EXPECTED:
        return
    try:
        await bench.within(adapter.send(bench.outgoing(bench.words())))
    except _EXPECTED[fault] as error:
        bench.keep(error)
    except Exception as error:  # whatever else it raises is a finding, not our failure
        bench.keep(error)
        wanted = " or ".join(kind.__name__ for kind in _EXPECTED[fault])
        raise AssertionError(f"send raised {error!r}, not {wanted}") from error
    else:
        raise AssertionError("send reported success")
