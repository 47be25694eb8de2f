"""For whoever writes or uses an adapter: fakes of both sides, and the kit that every adapter must pass."""

from bots.testing.fakes import FakeAdapter, FakeConfig, FakePlatform
from bots.testing.kit import CANARY, NotConforming, check_adapter
from bots.testing.script import Fault, Platform
from bots.testing.sink import RecordingSink

__all__ = [
    "CANARY",
    "FakeAdapter",
    "FakeConfig",
    "FakePlatform",
    "Fault",
    "NotConforming",
    "Platform",
    "RecordingSink",
    "check_adapter",
]
