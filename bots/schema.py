"""The schema's version: brought up to date after a backup, refused when it is newer than this program."""

import asyncio
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from bots.database import Database
from bots.errors import DatabaseError

HEAD = "0001"  # the newest step in migrations/versions; a test compares them
_LOCATION = Path(__file__).parent / "migrations"


async def version(database: Database) -> str:
    """The step the database stands at; empty when it has no tables yet."""
    return await database.read(_version)


async def migrate(database: Database) -> Path | None:
    """Bring the tables up to date; the backup that was made before, None when there was nothing to save.

    Raises:
        DatabaseError: a newer program wrote the database, or it is no database of ours.
    """
    before = await version(database)
    if before == HEAD:
        return None
    if before and before not in _known():
        raise DatabaseError(
            f"{database.name} was written by a newer version (schema {before}, here is {HEAD}); "
            "update Banterbrain or `banter restore` an older backup"
        )
    backup = None
    if before and database.file:
        backup = database.file.with_name(f"{database.file.name}.before-{HEAD}-{_stamp()}")
        await asyncio.to_thread(back_up, database, backup)
    await database.write(_upgrade)
    return backup


def back_up(database: Database, target: Path) -> None:
    """A consistent copy of a SQLite database, also while a bot works with it.

    Raises:
        DatabaseError: the target exists, or the database is PostgreSQL, which brings pg_dump.
    """
    if database.file is None:
        raise DatabaseError(f"{database.name} is backed up with pg_dump")
    if not database.file.is_file():
        raise DatabaseError(f"{database.file} does not exist; there is nothing to back up")
    if target.exists():
        raise DatabaseError(f"{target} is there already; name another file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # it holds private talk
    except OSError as error:
        raise DatabaseError(f"{target} cannot be written: {error.strerror}") from error
    try:
        with closing(sqlite3.connect(database.file)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise DatabaseError(f"{target} cannot be written: {error}") from error


def restore(database: Database, source: Path) -> Path | None:
    """Put a backup in the place of the database; where the replaced one lies now, None if there was none.

    Raises:
        DatabaseError: the backup is damaged or none of ours, or a bot is running.
    """
    if database.file is None:
        raise DatabaseError(f"{database.name} is restored with pg_restore")
    _check_backup(source)
    kept = None
    with only_one(database):
        fresh = database.file.with_name(f"{database.file.name}.restoring")
        shutil.copyfile(source, fresh)
        fresh.chmod(0o600)
        if database.file.exists():
            kept = database.file.with_name(f"{database.file.name}.replaced-{_stamp()}")
            _fold_journal(database.file)
            database.file.rename(kept)
        for suffix in ("-wal", "-shm"):
            database.file.with_name(database.file.name + suffix).unlink(missing_ok=True)
        fresh.rename(database.file)
    return kept


@contextmanager
def only_one(database: Database) -> Iterator[None]:
    """Keep a second bot away from a SQLite file; several share PostgreSQL.

    Raises:
        DatabaseError: another process holds it.
    """
    if database.file is None:
        yield
        return
    with database.file.with_name(f"{database.file.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DatabaseError(
                f"{database.file} is in use by another `banter run`; stop it first (several share PostgreSQL)"
            ) from error
        yield


def _version(connection: Connection) -> str:
    names = inspect(connection).get_table_names()
    if "alembic_version" not in names:
        if names:
            raise DatabaseError("the database holds tables that are not ours; name another one")
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {step.revision for step in ScriptDirectory(str(_LOCATION)).walk_revisions()}


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_LOCATION).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _check_backup(source: Path) -> None:
    if not source.is_file():
        raise DatabaseError(f"{source}: there is no such file")
    try:
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            [state] = connection.execute("PRAGMA quick_check(1)").fetchone()
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise DatabaseError(f"{source} is no backup of Banterbrain: {error}") from error
    if state != "ok":
        raise DatabaseError(f"{source} is damaged: {state}")
    if version is None or version[0] not in _known():
        raise DatabaseError(
            f"{source} was written by another version of Banterbrain; restore it with that one, or upgrade"
        )


def _fold_journal(file: Path) -> None:
    """Bring what stands in the write-ahead log into the file itself, as far as that is possible."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:  # it may be replaced because it is damaged
        return


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
