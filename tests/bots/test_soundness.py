"""What the doctor says of a database, without making or changing anything."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from postgres import Postgres
from pydantic import SecretStr
from sqlalchemy import text

from bots import schema, soundness
from bots.database import Database
from bots.messages import Finding
from bots.options import DatabaseSettings


async def findings(path: Path) -> list[Finding]:
    return await soundness.examine(DatabaseSettings(path=str(path)))


def content(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in folder.rglob("*")}


async def made(settings: DatabaseSettings, *statements: str) -> None:
    """A database of ours, with something done to it."""
    database = Database(settings)
    await schema.migrate(database)
    for statement in statements:
        await database.write(lambda connection, one=statement: connection.execute(text(one)))
    await database.close()


def a_folder(place: Path) -> None:
    (place / ".banter" / "banter.db").mkdir(parents=True)


def a_file_in_the_way(place: Path) -> None:
    (place / ".banter").write_text("")


def junk(place: Path) -> None:
    (place / ".banter").mkdir()
    (place / ".banter" / "banter.db").write_text("junk" * 1000)


@pytest.mark.parametrize(
    ("prepare", "what"),
    [
        (a_folder, "is a folder, no database"),
        (a_file_in_the_way, ".banter is a file, so"),
        (junk, "cannot be read: file is not a database"),
    ],
)
async def test_what_cannot_be_a_database_is_a_problem_with_a_fix(
    prepare: Callable[[Path], None], what: str, tmp_path: Path
) -> None:
    prepare(tmp_path)
    before = content(tmp_path)
    [found] = await findings(tmp_path / ".banter" / "banter.db")
    assert found.level == "problem"
    assert what in found.what
    assert found.fix
    assert content(tmp_path) == before


async def test_nothing_and_an_empty_file_are_fine(tmp_path: Path) -> None:
    file = tmp_path / ".banter" / "banter.db"
    [found] = await findings(file)
    assert (found.level, "at the first start" in found.what) == ("ok", True)
    assert not content(tmp_path)
    file.parent.mkdir()
    file.touch()
    [found] = await findings(file)
    assert (found.level, "is empty" in found.what) == ("ok", True)
    await made(DatabaseSettings(path=str(file)))  # and that is true
    [found] = await findings(file)
    assert found.what == "sound and up to date"


@pytest.mark.parametrize(
    ("statement", "level", "what"),
    [
        ("SELECT 1", "ok", "sound and up to date"),
        ("DELETE FROM alembic_version", "problem", "the database does not say its version"),
        ("UPDATE alembic_version SET version_num = '9999'", "problem", "newer version (schema 9999, here"),
        ("DROP TABLE alembic_version", "problem", "tables that are not ours"),
    ],
)
async def test_the_state_of_the_tables_is_one_finding(
    statement: str, level: str, what: str, database: DatabaseSettings, tmp_path: Path
) -> None:
    await made(database, statement)
    before = content(tmp_path)
    [found] = await soundness.examine(database)
    assert found.level == level
    assert what in found.what
    assert content(tmp_path) == before


async def test_what_could_not_be_answered_is_counted(database: DatabaseSettings) -> None:
    values = "1, 'a', 'b', 'k', 1, 'dead', '', '', '', '', '', '', true, 1, 1, 1, 3, 0, 0, ''"
    columns = (
        "id, adapter, bot, key, chat_id, state, command, text, user_id, user_name, message_id, answer_by, "
        "is_addressed, said_at, received_at, due_at, attempts, edits, seed, error"
    )
    chat = "1, 'a', 'b', 'c', '', '', true, false, '', '{}', '', 0, 0"
    names = (
        "id, adapter, bot, chat, thread, guild, is_private, is_gone, persona, settings, last_message, "
        "lease_until, epoch"
    )
    await made(
        database,
        f"INSERT INTO chats ({names}) VALUES ({chat})",
        f"INSERT INTO inbox ({columns}) VALUES ({values})",
    )
    _, found = await soundness.examine(database)
    assert (found.level, found.what) == ("warning", "1 messages could not be answered")


async def test_an_empty_server_is_fine_and_stays_empty(postgres: Postgres) -> None:
    database = postgres.database()
    [found] = await soundness.examine(database)
    assert (found.level, "at the first start" in found.what) == ("ok", True)
    ours = Database(database)
    assert await schema.version(ours) == ""
    await ours.close()


@pytest.mark.parametrize(
    "name", ["postgresql+asyncpg://me:canary@127.0.0.1:9/x", "mysql://me:canary@h/x", "canary"]
)
async def test_an_address_that_leads_nowhere_is_a_problem_and_shows_no_password(name: str) -> None:
    [found] = await soundness.examine(DatabaseSettings(url=SecretStr(name)))
    assert found.level == "problem"
    assert "BANTER_DATABASE__URL" in found.fix
    assert "canary" not in f"{found}"


async def test_a_server_that_says_nothing_is_not_waited_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+asyncpg://me:canary@127.0.0.1:{silent.getsockname()[1]}/x"
        [found] = await soundness.examine(DatabaseSettings(url=SecretStr(url)), 0.3)
    assert "does not answer in 0.3 s" in found.what
    assert "canary" not in found.what
