"""The database: made, brought up to date, refused, copied, put back."""

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


async def test_tables_of_others_are_refused(database: DatabaseSettings) -> None:
    theirs = Database(database)
    await run(theirs, "CREATE TABLE owls (id INTEGER)")
    with pytest.raises(DatabaseError, match="not ours"):
        await schema.migrate(theirs)
    await theirs.close()


async def test_a_backup_is_made_while_the_database_is_in_use_and_can_be_put_back(tmp_path: Path) -> None:
    ours = in_folder(tmp_path)
    await schema.migrate(ours)
    await ours.write(
        lambda connection: connection.execute(tables.forgotten.insert(), {"id": "x", "forgotten_at": 1.0})
    )
    schema.back_up(ours, tmp_path / "copy.db")
    await ours.write(lambda connection: connection.execute(tables.forgotten.delete()))
    await ours.close()
    kept = schema.restore(ours, tmp_path / "copy.db")
    again = in_folder(tmp_path)
    rows = await again.read(lambda connection: connection.execute(tables.forgotten.select()).all())
    await again.close()
    assert [row.id for row in rows] == ["x"]
    assert kept is not None
    assert kept.is_file()


async def test_what_is_no_backup_replaces_nothing(tmp_path: Path) -> None:
    ours = in_folder(tmp_path)
    await schema.migrate(ours)
    await ours.close()
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(DatabaseError, match="no backup of Banterbrain"):
        schema.restore(ours, tmp_path / "junk")
    with pytest.raises(DatabaseError, match="name another file"):
        schema.back_up(ours, tmp_path / "junk")


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
