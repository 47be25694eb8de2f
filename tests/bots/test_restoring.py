"""Copies of the database: made, refused, put back without whom was forgotten since."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from stage import Stage

from bots import people, restoring, schema, tables
from bots.database import Database
from bots.errors import DatabaseError
from bots.messages import Command, Incoming
from bots.options import DatabaseSettings

BUCKET = {"id": "x", "tokens": 1.0, "counted_at": 1.0, "told_at": 0.0}


def in_folder(folder: Path) -> Database:
    return Database(DatabaseSettings(path=str(folder / "banter.db")))


async def talked(stage: Stage, *users: str) -> None:
    """Each says hello and is answered."""
    for user in users:
        before = len(stage.sent)
        await stage.put(Incoming(f"I am {user}", stage.origin(f"chat of {user}", user)))
        await stage.answers(before + 1)


async def forgets(stage: Stage, user: str) -> None:
    before = len(stage.sent)
    await stage.put(Command("forget", "", stage.origin(f"chat of {user}", user)))
    await stage.answers(before + 1)


async def test_a_backup_is_made_while_the_database_is_in_use_and_can_be_put_back(tmp_path: Path) -> None:
    ours = in_folder(tmp_path)
    await schema.migrate(ours)
    await ours.write(
        lambda connection: connection.execute(
            tables.buckets.insert(), {"id": "x", "tokens": 1.0, "counted_at": 1.0, "told_at": 0.0}
        )
    )
    schema.back_up(ours, tmp_path / "copy.db")
    await ours.write(lambda connection: connection.execute(tables.buckets.delete()))
    await ours.close()
    done = restoring.restore(ours, tmp_path / "copy.db")
    again = in_folder(tmp_path)
    rows = await again.read(lambda connection: connection.execute(tables.buckets.select()).all())
    await again.close()
    assert [row.id for row in rows] == ["x"]
    assert done.replaced is not None
    assert done.replaced.is_file()


async def test_whom_the_bot_has_forgotten_stays_forgotten_when_an_older_backup_comes_back(
    tmp_path: Path,
) -> None:
    stage, ours = Stage(tmp_path), in_folder(tmp_path)
    async with stage.running():
        await talked(stage, "ann", "bo", "cy")
        await forgets(stage, "cy")
        await talked(stage, "cy")  # again, after being forgotten: that is in the backup and stays
    schema.back_up(ours, tmp_path / "copy.db")
    async with stage.running():
        await forgets(stage, "ann")
    done = restoring.restore(ours, tmp_path / "copy.db")
    assert (done.num_forgotten, done.is_heeded) == (1, True)
    said = await stage.rows("SELECT text FROM turns WHERE NOT is_bot ORDER BY id")
    assert said == [("I am bo",), ("I am cy",)]
    assert b"I am ann" not in (tmp_path / "banter.db").read_bytes()
    kept = {name for (name,) in await stage.rows("SELECT id FROM forgotten")}
    assert kept == {people.digest("stage", "ann"), people.digest("stage", "cy")}


async def test_a_database_too_damaged_to_say_whom_it_forgot_is_told_of(tmp_path: Path) -> None:
    ours = in_folder(tmp_path)
    await schema.migrate(ours)
    schema.back_up(ours, tmp_path / "copy.db")
    await ours.close()
    (tmp_path / "banter.db").write_text("junk" * 1000)
    assert restoring.restore(ours, tmp_path / "copy.db").is_heeded is False
    again = in_folder(tmp_path)
    assert await schema.version(again) == schema.HEAD
    await again.close()


async def test_what_is_no_backup_replaces_nothing(tmp_path: Path) -> None:
    ours = in_folder(tmp_path)
    await schema.migrate(ours)
    await ours.close()
    (tmp_path / "junk").write_text("junk")
    with closing(sqlite3.connect(tmp_path / "banter.db")) as connection:
        before = connection.execute("SELECT * FROM sqlite_master").fetchall()
    with pytest.raises(DatabaseError, match="no backup of Banterbrain"):
        restoring.restore(ours, tmp_path / "junk")
    with pytest.raises(DatabaseError, match="is a folder; name the file that `banter backup` wrote"):
        restoring.restore(ours, tmp_path)
    with pytest.raises(DatabaseError, match="there is no such file"):
        restoring.restore(ours, tmp_path / "none.db")
    with pytest.raises(DatabaseError, match="name another file"):
        schema.back_up(ours, tmp_path / "junk")
    with pytest.raises(DatabaseError, match="cannot be written: File exists"):
        schema.back_up(ours, tmp_path / "junk" / "copy.db")
    with closing(sqlite3.connect(tmp_path / "banter.db")) as connection:
        assert connection.execute("SELECT * FROM sqlite_master").fetchall() == before


async def test_a_backup_is_only_looked_at(tmp_path: Path) -> None:
    ours = in_folder(tmp_path / "ours")
    await schema.migrate(ours)
    (tmp_path / "copies").mkdir()
    schema.back_up(ours, tmp_path / "copies" / "copy.db")
    await ours.close()
    restoring.restore(ours, tmp_path / "copies" / "copy.db")
    assert [file.name for file in (tmp_path / "copies").iterdir()] == ["copy.db"]
