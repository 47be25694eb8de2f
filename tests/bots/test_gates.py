"""Who is let in."""

from datetime import UTC, datetime

import pytest

from bots.gates import Gate
from bots.messages import ChatKey, Origin, User
from bots.options import GateSettings

ORIGIN = Origin(
    key="k",
    chat=ChatKey("owl", "bot", "c1"),
    when=datetime.now(UTC),
    user=User("u1", "Ann", roles=("r1", "r2")),
    guild="g1",
)


@pytest.mark.parametrize(
    ("lists", "is_in"),
    [
        ({}, True),
        ({"allow_users": ("u1",)}, True),
        ({"allow_users": ("owl:u1",)}, True),
        ({"allow_users": ("lark:u1",)}, False),
        ({"allow_users": ("Ann",)}, False),  # a name is chosen by the person
        ({"deny_users": ("u1",), "allow_users": ("u1",)}, False),
        ({"allow_chats": ("c2",)}, False),
        ({"deny_guilds": ("g1",)}, False),
        ({"allow_guilds": ("g1",), "allow_roles": ("r2",)}, True),
        ({"allow_roles": ("r3",)}, False),
        ({"deny_roles": ("r2",)}, False),
    ],
)
def test_lists_go_by_id_and_a_deny_wins(lists: dict[str, tuple[str, ...]], is_in: bool) -> None:
    assert Gate(GateSettings(**lists)).lets_in(ORIGIN) is is_in


def test_an_admin_is_known_by_id_on_one_platform_or_on_all() -> None:
    gate = Gate(GateSettings(admins=("owl:u1", "u2")))
    assert gate.is_admin("owl", "u1")
    assert not gate.is_admin("lark", "u1")
    assert gate.is_admin("lark", "u2")
    assert not gate.is_admin("lark", "")
