"""Checks without a connection: the class, its Config, its limits."""

import inspect
import re

from bots.abilities import missing_or_idle
from bots.errors import AdapterMissing
from bots.messages import Adapter
from bots.registry import adapter_class
from bots.testing.bench import Bench

_SECRET = re.compile(r"token|secret|password|api_key")


async def has_the_shape(bench: Bench) -> None:
    """Class, Config and methods are what registry, settings and core expect."""
    adapter = bench.make()
    try:
        adapter_class(type(adapter), adapter.name, "yours")
    except AdapterMissing as error:
        raise AssertionError(str(error)) from error
    assert isinstance(adapter, Adapter), "caps or limits are missing"
    assert re.fullmatch("[a-z][a-z0-9_]*", adapter.name), f"name {adapter.name!r}: a-z, 0-9 and _ only"
    for verb in ("run", "send"):
        assert inspect.iscoroutinefunction(getattr(adapter, verb)), f"{verb} must be `async def`"
    assert not (wrong := missing_or_idle(adapter)), f"caps and methods differ in: {', '.join(wrong)}"
    config = adapter.Config
    for key, value in (("extra", "forbid"), ("hide_input_in_errors", True)):
        assert config.model_config.get(key) == value, (
            f"Config: derive it from AdapterConfig ({key}={value!r})"
        )
    bare = [
        name for name, info in config.model_fields.items() if _SECRET.search(name) and info.annotation is str
    ]
    assert not bare, f"Config.{', '.join(bare)}: secrets are of type SecretStr"
    assert bench.make() is not adapter, "make gave the same instance twice"


async def has_sane_limits(bench: Bench) -> None:
    """What the core splits and paces by makes sense."""
    limits = bench.make().limits
    assert limits.max_len >= 16, "max_len below 16 leaves no room for a word"
    rates = (limits.per_chat, limits.per_group, limits.overall)
    assert all(rate.count > 0 and rate.seconds > 0 for rate in rates if rate), "a rate must be above 0"
    assert limits.typing_s > 0, "typing_s must be above 0"
