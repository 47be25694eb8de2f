"""Who is let in."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlmodel import SQLModel

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


def test_only_whose_own_bucket_is_empty_is_told_and_a_chat_once(tmp_path: Path) -> None:
    gate = Gate(GateSettings(person_burst=2, chat_burst=4, chat_per_min=0.001, person_per_min=0.001))
    engine = create_engine(f"sqlite:///{tmp_path / 'gates.db'}")
    SQLModel.metadata.create_all(engine)
    said = [replace(ORIGIN, user=User(name)) for name in ("ann", "ann", "ann", "ann", "bo", "bo", "cy", "di")]
    with engine.begin() as connection:
        verdicts = gate.take(connection, [(origin, True) for origin in said], 1000.0)
    assert verdicts == ["heard", "heard", "told", "refused", "heard", "heard", "chat told", "refused"]
