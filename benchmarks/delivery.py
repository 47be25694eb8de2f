"""What everything around the brain costs: from accept to send, with a brain that answers at once.

    python benchmarks/delivery.py [--rate 20] [--seconds 20] [--chats 100] [--folder .]

Two runs, each on a fresh SQLite file in FOLDER (name one on the disk that counts): events at a steady rate,
with the latency from the call of `accept` to that of `send`; and 2000 at once, to see how many it can do.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, SecretStr

from bots.cast import Cast
from bots.messages import ChatKey, Health, Incoming, Limits, MessageRef, Origin, Outgoing, Sink, User
from bots.options import DatabaseSettings, GateSettings, RunSettings
from bots.service import Enabled, Service
from bots.settings import Settings
from bots.testing import FakeAdapter, FakeConfig
from bots.testing.brains import EchoBrain
from brain.config import BrainConfig
from brain.persona import DEFAULT_PERSONA


class Line:
    """A platform without a network: it offers events and notes when their answers come."""

    def __init__(self, num_chats: int) -> None:
        self.num_chats, self.num_offered = num_chats, 0
        self.offered: dict[str, float] = {}
        self.answered: dict[str, float] = {}
        self.sink: Sink | None = None
        self.connected = asyncio.Event()

    async def offer(self, number: int) -> None:
        """Tell of so many messages at once, each from the next chat."""
        events = []
        for _ in range(number):
            self.num_offered += 1
            text, chat = f"m{self.num_offered}", str(self.num_offered % self.num_chats)
            origin = Origin(
                key=text,
                chat=ChatKey("fake", "bot", chat),
                when=datetime.now(UTC),
                user=User(chat),
                is_private=True,
                message_id=text,
            )
            events.append(Incoming(text, origin))
            self.offered[f"re: {text}"] = time.perf_counter()
        assert self.sink is not None
        await self.sink.accept(*events)

    async def wait(self) -> None:
        """Until all is answered, a minute at most."""
        for _ in range(12_000):
            if len(self.answered) >= len(self.offered):
                return
            await asyncio.sleep(0.005)
        raise TimeoutError

    def latencies_ms(self) -> list[float]:
        """Sorted."""
        return sorted(1e3 * (self.answered[text] - moment) for text, moment in self.offered.items())


def adapter_on(line: Line) -> type[FakeAdapter]:
    """The class of an adapter that speaks to a line."""

    class LineAdapter(FakeAdapter):
        limits: ClassVar[Limits] = Limits(max_len=2000)

        def __init__(self, config: BaseModel) -> None:
            self.config = config

        async def run(self, sink: Sink) -> None:
            line.sink = sink
            sink.report(Health("connected"))
            line.connected.set()
            await asyncio.Event().wait()

        async def send(self, message: Outgoing) -> MessageRef:
            line.answered[message.text] = time.perf_counter()
            return MessageRef(message.chat, message.nonce)

    return LineAdapter


async def measured(line: Line, folder: str, rate: float, number: int) -> float:
    """Offer events at a rate (0 = all at once) to a service on a fresh database; seconds it took."""
    settings = Settings(
        database=DatabaseSettings(path=f"{folder}/banter.db"),
        run=RunSettings(merge_above=0, max_waiting_per_chat=10_000, max_waiting=100_000),
        gates=GateSettings(person_burst=100_000, chat_burst=100_000),
    )
    adapters = [Enabled(adapter_on(line), FakeConfig(token=SecretStr("none")))]
    service = Service(EchoBrain(), Cast(Path(folder), BrainConfig()), DEFAULT_PERSONA, settings, adapters)
    running = asyncio.ensure_future(service.run())
    await line.connected.wait()
    await line.offer(line.num_chats)  # every chat is known, every statement compiled
    await line.wait()
    line.offered.clear()
    line.answered.clear()
    started = time.perf_counter()
    if rate:
        async with asyncio.TaskGroup() as group:
            for place in range(number):
                await asyncio.sleep(max(0.0, started + place / rate - time.perf_counter()))
                group.create_task(line.offer(1))
    else:
        for _ in range(number // 100):
            await line.offer(100)
    await line.wait()
    seconds = time.perf_counter() - started
    service.stop()
    await running
    return seconds


def main() -> None:
    """Measure both, print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--chats", type=int, default=100)
    parser.add_argument("--folder", default=".")
    args = parser.parse_args()
    told: dict[str, object] = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    for name, rate in (("steady", args.rate), ("at_once", 0.0)):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            line, cpu = Line(args.chats), time.process_time()
            number = int(args.rate * args.seconds) if rate else 2000
            seconds = asyncio.run(measured(line, folder, rate, number))
            spent, took = line.latencies_ms(), time.process_time() - cpu
        told[name] = {
            "events": number,
            "events_per_s": round(number / seconds, 1),
            "median_ms": round(statistics.median(spent), 1),
            "p95_ms": round(spent[int(0.95 * len(spent))], 1),
            "cpu_ms_per_event": round(1e3 * took / number, 2),
        }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
