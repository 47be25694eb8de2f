"""Adapters by name: found without loading, and refused in one sentence."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bots import registry
from bots.console.service import ConsoleService
from bots.errors import AdapterMissing
from bots.messages import API_VERSION


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path; `add` a distribution to it."""
    monkeypatch.syspath_prepend(tmp_path)
    registry._found.cache_clear()
    yield tmp_path
    registry._found.cache_clear()


def add(folder: Path, distribution: str, lines: str) -> None:
    meta = folder / f"{distribution}-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{lines}\n")


def complaint(name: str) -> str:
    with pytest.raises(AdapterMissing) as error:
        registry.load(name)
    return str(error.value)


def test_ours_come_in_through_the_same_door() -> None:
    assert "console" in registry.names()
    assert registry.load("console") is ConsoleService


def test_an_adapter_of_somebody_else_is_loaded_by_name(installed: Path) -> None:
    add(installed, "banter-owl", "owl = owl_post:Owl")
    assert "owl" in registry.names()  # nothing is imported yet: there is no such module
    (installed / "owl_post.py").write_text(
        "from bots.messages import AdapterConfig\n"
        f"class Owl:\n    name, api_version, Config = 'owl', {API_VERSION}, AdapterConfig\n"
        "    async def run(self, sink): ...\n    async def send(self, message): ...\n"
    )
    assert registry.load("owl").name == "owl"


def test_an_unknown_name_gets_the_nearest() -> None:
    assert complaint("consol") == "no adapter 'consol' is installed, did you mean 'console'?"


def test_two_of_one_name_are_refused_with_both_owners(installed: Path) -> None:
    add(installed, "banter-owl", "owl = owl_post:Owl")
    add(installed, "other-owl", "owl = other_post:Owl")
    assert complaint("owl") == "adapter 'owl' is brought by banter-owl and other-owl; uninstall one of them"


def test_a_module_that_is_not_there_is_named(installed: Path) -> None:
    add(installed, "banter-owl", "owl = no_such_owl:Owl")
    assert complaint("owl") == "adapter 'owl' of banter-owl cannot be loaded: No module named 'no_such_owl'"


class Stale(ConsoleService):
    api_version = 0


class Plain(ConsoleService):
    Config = dict


class Mute(ConsoleService):
    send = None


@pytest.mark.parametrize(
    ("loaded", "wrong"),
    [
        (len, "it is no class"),
        (int, "it calls itself None"),
        (Stale, f"it speaks version 0 of bots.messages, here is {API_VERSION}"),
        (Plain, "its Config is no pydantic model"),
        (Mute, "it cannot send"),
    ],
)
def test_what_is_no_adapter_is_refused(loaded: object, wrong: str) -> None:
    with pytest.raises(AdapterMissing) as error:
        registry.adapter_class(loaded, "console", "somebody")
    assert str(error.value) == f"adapter 'console' of somebody cannot be used: {wrong}"
