"""The database: made, brought up to date, refused, copied, put back."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import text
from sqlmodel import SQLModel

from bots import schema, tables
from bots.database import Database, url_from_settings
from bots.errors import DatabaseError, SettingsError
from bots.options import DatabaseSettings


def in_folder(folder: Path) -> Database:
    return Database(DatabaseSettings(path=str(folder / "banter.db")))


async def run(database: Database, statement: str) -> None:
    await database.write(lambda connection: connection.execute(text(statement)))


async def test_the_migrations_make_the_tables_as_they_are_declared(database: DatabaseSettings) -> None:
    fresh = Database(database)
    assert await schema.migrate(fresh) is None  # nothing was there: no backup
    differences = await fresh.read(
        lambda connection: compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
    )
    await fresh.close()
    assert tables.chats.name == "chats"
    assert differences == []


def test_the_newest_step_is_the_one_that_is_asked_for() -> None:
    scripts = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert scripts.get_current_head() == schema.HEAD


async def test_a_newer_database_is_refused_in_one_sentence(database: DatabaseSettings) -> None:
    fresh = Database(database)
    await schema.migrate(fresh)
    await run(fresh, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match=r"newer version \(schema 9999, here is 0001\); update"):
        await schema.migrate(fresh)
    await fresh.close()


async def test_tables_without_a_version_are_refused(database: DatabaseSettings) -> None:
    ours = Database(database)
    await schema.migrate(ours)
    await run(ours, "DELETE FROM alembic_version")
    with pytest.raises(DatabaseError, match="does not say its version; `banter restore` a backup"):
        await schema.migrate(ours)
    await ours.close()


async def test_tables_of_others_are_refused(database: DatabaseSettings) -> None:
    theirs = Database(database)
    await run(theirs, "CREATE TABLE owls (id INTEGER)")
    with pytest.raises(DatabaseError, match="not ours"):
        await schema.migrate(theirs)
    await theirs.close()


def test_one_file_has_one_bot(tmp_path: Path) -> None:
    ours = in_folder(tmp_path)
    with (
        schema.only_one(ours),
        pytest.raises(DatabaseError, match="in use by another"),
        schema.only_one(ours),
    ):
        pass


def test_an_address_with_a_password_is_never_shown() -> None:
    with pytest.raises(SettingsError) as error:
        url_from_settings(DatabaseSettings(url=SecretStr("mysql://me:canary@host/name")))
    assert str(error.value).startswith("database.url: it begins with mysql://")
    assert "canary" not in str(error.value)
    settings = DatabaseSettings(url=SecretStr("postgresql+asyncpg://me:canary@host/name"))
    assert Database(settings).name == "postgresql+asyncpg://me:***@host/name"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite://", "names no file"),
        ("owl", "no database address"),
        ("postgresql+asyncpg://host:port/name", "no database address"),
    ],
)
def test_an_address_of_nothing_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        url_from_settings(DatabaseSettings(url=SecretStr(url)))


def test_a_system_without_posix_can_import_the_service() -> None:
    posix = ("fcntl", "termios", "pwd", "grp", "resource", "pty")
    code = f"import sys; sys.modules.update(dict.fromkeys({posix})); import bots.service, bots.soundness"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
