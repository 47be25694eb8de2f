"""A backup takes the place of the database; whom that one has forgotten stays forgotten."""

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import SQLAlchemyError

from bots import people, schema
from bots.database import Database, reason_of
from bots.errors import DatabaseError


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it."""

    replaced: Path | None  # where the database lies now that was there
    num_forgotten: int = 0  # people in the backup who asked to be forgotten after it was made
    is_heeded: bool = True  # False = the old database was too damaged to say who had asked


def restore(database: Database, source: Path) -> Restored:
    """Put a backup in the place of the database, and forget in it whoever was forgotten since.

    Raises:
        DatabaseError: the backup is damaged or none of ours, a bot is running, or a file cannot be written.
    """
    file = database.file
    if file is None:
        raise DatabaseError(f"{database.name} is restored with pg_restore")
    _check(source)
    fresh = file.with_name(f"{file.name}.restoring")
    with schema.only_one(database):
        try:
            return _replace(file, source, fresh)
        except OSError as error:
            raise DatabaseError(f"{file} cannot be replaced: {error.strerror}") from error
        except SQLAlchemyError as error:
            raise DatabaseError(f"{source} cannot be brought up to date: {reason_of(error)}") from error
        finally:
            fresh.unlink(missing_ok=True)


def _replace(file: Path, source: Path, fresh: Path) -> Restored:
    fresh.unlink(missing_ok=True)  # of an attempt that was killed
    fresh.touch(0o600)
    shutil.copyfile(source, fresh)
    tombstones = _tombstones(file) if file.exists() else {}
    num_forgotten = _prepare(fresh, tombstones or {})
    replaced = None
    if file.exists():
        replaced = file.with_name(f"{file.name}.replaced-{schema.stamp()}")
        _fold_journal(file)
        file.rename(replaced)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    fresh.rename(file)
    return Restored(replaced, num_forgotten, tombstones is not None)


def _check(source: Path) -> None:
    if source.is_dir():
        raise DatabaseError(f"{source} is a folder; name the file that `banter backup` wrote")
    if not source.is_file():
        raise DatabaseError(f"{source}: there is no such file")
    try:
        with closing(sqlite3.connect(schema.read_only(source), uri=True)) as connection:
            [state] = connection.execute("PRAGMA quick_check(1)").fetchone()
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise DatabaseError(f"{source} is no backup of Banterbrain: {error}") from error
    if state != "ok":
        raise DatabaseError(f"{source} is damaged: {state}")
    if version is None or version[0] not in schema.known():
        raise DatabaseError(
            f"{source} was written by another version of Banterbrain; restore it with that one, or upgrade"
        )


def _tombstones(file: Path) -> Mapping[str, float] | None:
    """Who was forgotten, and when; None when the file cannot tell."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if "forgotten" not in tables:  # it was never used
                return {}
            return dict(connection.execute("SELECT id, forgotten_at FROM forgotten"))
    except sqlite3.Error:
        return None


def _prepare(fresh: Path, tombstones: Mapping[str, float]) -> int:
    """Bring a copy up to date and forget in it; how many people that were."""
    engine = create_engine(URL.create("sqlite", database=str(fresh)))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
            schema.upgrade(connection)
            return people.heed(connection, tombstones)
    finally:
        engine.dispose()


def _fold_journal(file: Path) -> None:
    """Bring what stands in the write-ahead log into the file itself, as far as that is possible."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:  # it may be replaced because it is damaged
        return
