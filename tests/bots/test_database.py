"""The door to the database: what drivers raise is one clear sentence, and others cannot read the files."""

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from bots import schema
from bots.database import Database
from bots.errors import DatabaseError
from bots.options import DatabaseSettings


def at(path: Path) -> DatabaseSettings:
    return DatabaseSettings(path=str(path))


async def complaint(settings: DatabaseSettings) -> str:
    """What is said when somebody wants to work with it."""
    database = Database(settings)
    try:
        with pytest.raises(DatabaseError) as error:
            await schema.migrate(database)
    finally:
        await database.close()
    return str(error.value)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / ".banter").write_text("")
    with pytest.raises(DatabaseError, match="a file is in the way; name another"):
        Database(at(tmp_path / ".banter" / "banter.db"))
    with pytest.raises(DatabaseError, match="Not a directory; name another"):
        Database(at(tmp_path / ".banter" / "deep" / "banter.db"))


def test_a_folder_where_the_file_should_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="is a folder, no database"):
        Database(at(tmp_path))


async def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "banter.db").write_text("junk" * 1000)
    said = await complaint(at(tmp_path / "banter.db"))
    assert said == f"{tmp_path}/banter.db cannot be used: file is not a database; `banter doctor` looks at it"


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    url = "postgresql+asyncpg://me:canary@127.0.0.1:9/name"
    said = await complaint(DatabaseSettings(url=SecretStr(url)))
    assert said.startswith("postgresql+asyncpg://me:***@127.0.0.1:9/name cannot be used: ")
    assert "canary" not in said


async def test_a_failed_statement_tells_no_values(database: DatabaseSettings) -> None:
    ours = Database(database)
    await schema.migrate(ours)
    insert = text("INSERT INTO forgotten VALUES (:id, 1.0)")
    with pytest.raises(DatabaseError) as error:
        await ours.write(lambda connection: [connection.execute(insert, {"id": "canary"}) for _ in "12"])
    await ours.close()
    assert "canary" not in str(error.value)
    assert "Unique" in str(error.value) or "Integrity" in str(error.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
async def test_the_files_are_their_owners_alone_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        ours = Database(at(tmp_path / "custom.db"))
        await schema.migrate(ours)
        with schema.only_one(ours):
            names = ["custom.db", "custom.db-wal", "custom.db-shm", "custom.db.lock"]
            assert {name: mode(tmp_path / name) for name in names} == dict.fromkeys(names, 0o600)
        await ours.close()
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
async def test_a_mode_that_somebody_has_set_stays(tmp_path: Path) -> None:
    (tmp_path / "custom.db").touch()
    (tmp_path / "custom.db").chmod(0o640)
    ours = Database(at(tmp_path / "custom.db"))
    await schema.migrate(ours)
    await ours.close()
    assert mode(tmp_path / "custom.db") == 0o640
