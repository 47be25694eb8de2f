"""The kit passes what conforms, and names what does not."""

import asyncio
import logging
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from bots.errors import SendFailed
from bots.messages import AdapterConfig, Caps, Health, MessageRef, Outgoing, Sink
from bots.testing import CANARY, FakeAdapter, FakeConfig, FakePlatform, NotConforming, check_adapter
from bots.testing.fakes import event_from_said


async def findings(kind: type[FakeAdapter], timeout_s: float = 0.5, **attributes: Any) -> str:
    """What the kit says about a variation of the fake."""
    variation = type("Variation", (kind,), attributes)
    platform = FakePlatform()
    with pytest.raises(NotConforming) as error:
        await check_adapter(
            lambda: variation(FakeConfig(token=SecretStr(CANARY)), platform), platform, timeout_s=timeout_s
        )
    assert CANARY not in str(error.value)
    return str(error.value)


async def test_the_fake_conforms() -> None:
    platform = FakePlatform()
    await check_adapter(lambda: FakeAdapter(FakeConfig(token=SecretStr(CANARY)), platform), platform)


class OpenConfig(AdapterConfig):
    model_config: ClassVar[Any] = {"extra": "allow"}
    token: str = ""


@pytest.mark.parametrize(
    ("attributes", "finding"),
    [
        ({"api_version": 0}, "shape: adapter 'fake' of yours cannot be used: it speaks version 0"),
        ({"caps": Caps(edit=True)}, "shape: caps and methods differ in: edit, typing"),
        ({"Config": OpenConfig}, "shape: Config: derive it from AdapterConfig (extra='forbid')"),
        ({"limits": replace(FakeAdapter.limits, max_len=8)}, "limits: max_len below 16"),
    ],
)
async def test_a_wrong_shape_is_named(attributes: dict[str, Any], finding: str) -> None:
    assert finding in await findings(FakeAdapter, **attributes)


class EagerAdapter(FakeAdapter):
    """Acknowledges what it fetches before the sink has it, as bot frameworks do."""

    async def run(self, sink: Sink) -> None:
        acknowledged = 0
        sink.report(Health("connected"))
        while True:
            said = await self._platform.fetch(acknowledged)
            acknowledged = self._platform._num_acknowledged = said[-1].id
            await sink.accept(*map(event_from_said, said))


async def test_acknowledging_too_early_is_found() -> None:
    found = await findings(EagerAdapter)
    assert "accept, then acknowledge: acknowledged before accept had returned" in found
    assert "killed in accept: what was not accepted is lost" in found
    assert "busy: what met Busy was not offered again; run ended: Busy" in found


class StubbornAdapter(FakeAdapter):
    """Cuts, swallows, talks."""

    async def send(self, message: Outgoing) -> MessageRef:
        logging.getLogger("stubborn").info("POST /bot%s", self._config.token.get_secret_value())
        try:
            return await super().send(replace(message, text=message.text[:200], nonce=""))
        except SendFailed as error:
            raise RuntimeError("it broke") from error


async def test_cutting_leaking_and_foreign_errors_are_found() -> None:
    found = await findings(StubbornAdapter)
    assert "too long: 201 units were taken, max_len is 200" in found
    assert "send: one message was shown 2 times" in found
    assert "fault down: send raised RuntimeError('it broke'), not SendFailed" in found
    assert "secrets stay inside: stubborn POST /bot<CANARY>" in found


class UndyingAdapter(FakeAdapter):
    """Takes being cancelled for an interruption."""

    async def run(self, sink: Sink) -> None:
        sink.report(Health("connected"))
        for _ in range(4):
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue


async def test_a_run_that_cannot_be_stopped_is_found() -> None:
    found = await findings(UndyingAdapter, timeout_s=0.1)
    assert "send: run did not end within 0.1 s of being cancelled" in found


async def test_a_run_that_never_connects_is_found() -> None:
    async def run(self: FakeAdapter, sink: Sink) -> None:
        raise AssertionError("out of order")

    found = await findings(FakeAdapter, run=run)
    assert (
        "receive: Health(\"connected\") was never reported; run ended: AssertionError('out of order')"
        in found
    )
