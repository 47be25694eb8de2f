"""How many sends may be under way at once, and that a slow one holds nobody up."""

import asyncio
import time
from typing import ClassVar

from stage import MakeStage, StageAdapter

from bots.messages import Caps, Incoming, MessageRef, Outgoing
from bots.window import Window


class Counter:
    """Sends that take so long, and how many were under way at most."""

    def __init__(self, window: Window) -> None:
        self.window, self.num, self.most = window, 0, 0

    async def send(self, seconds: float) -> None:
        async with self.window.place():
            self.num += 1
            self.most = max(self.most, self.num)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.num -= 1


async def test_quick_sends_go_one_by_one() -> None:
    counter = Counter(Window(1))
    await asyncio.gather(*(counter.send(0.01) for _ in range(10)))
    assert counter.most == 1


async def test_one_slow_send_costs_the_others_a_moment() -> None:
    window = Window(1, patience_s=0.05)
    counter, started = Counter(window), time.monotonic()
    slow = asyncio.ensure_future(counter.send(1.0))
    await asyncio.sleep(0)
    await asyncio.gather(*(counter.send(0.01) for _ in range(10)))
    assert time.monotonic() - started < 0.5
    await slow
    counter.most = 0
    await asyncio.gather(*(counter.send(0.001) for _ in range(10)))
    assert (counter.most, window.num_inside) == (1, 0)


async def test_where_many_wait_many_go_but_not_without_bound() -> None:
    counter, started = Counter(Window(1, patience_s=0.1, num_at_most=8)), time.monotonic()
    await asyncio.gather(*(counter.send(0.25) for _ in range(60)))
    assert counter.most == 8
    assert time.monotonic() - started < 60 * 0.25 / 4


async def test_a_send_that_is_cancelled_gives_its_place_back() -> None:
    window = Window(1, patience_s=0.02)
    for seconds in (0.0, 0.1):
        tasks = [asyncio.ensure_future(Counter(window).send(9.0)) for _ in range(3)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    await asyncio.wait_for(Counter(window).send(0.0), 1)
    assert window.num_inside == 0


class Sluggish(StageAdapter):
    """Takes very long for one chat; the platform drops no repeats."""

    caps: ClassVar[Caps] = Caps()

    async def send(self, message: Outgoing) -> MessageRef:
        if message.chat.chat == "slow":
            await asyncio.sleep(4.0)
        return await super().send(message)


async def test_one_slow_chat_does_not_hold_up_the_others(new_stage: MakeStage) -> None:
    stage = new_stage(kind=Sluggish)
    async with stage.running():
        await stage.put(Incoming("hello", stage.origin("slow")))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await stage.put(*(Incoming("hello", stage.origin(str(chat), str(chat))) for chat in range(10)))
        await stage.answers(10)
        assert time.monotonic() - started < 2.5
        assert "slow" not in {message.chat.chat for message in stage.sent}
        await stage.answers(11)
