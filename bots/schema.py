"""The schema's version: brought up to date after a backup, refused when it is newer than this program."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, inspect, text

from bots.database import Database
from bots.errors import DatabaseError

HEAD = "0001"  # the newest step in migrations/versions; a test compares them
_LOCATION = Path(__file__).parent / "migrations"


async def version(database: Database) -> str:
    """The step the database stands at; empty when it has no tables yet."""
    return await database.read(version_of)


async def migrate(database: Database) -> Path | None:
    """Bring the tables up to date; the backup that was made before, None when there was nothing to save.

    Raises:
        DatabaseError: a newer program wrote the database, or it is no database of ours.
    """
    before = await version(database)
    if before == HEAD:
        return None
    if before and before not in known():
        raise DatabaseError(
            f"{database.name} was written by a newer version (schema {before}, here is {HEAD}); "
            "update Banterbrain or `banter restore` an older backup"
        )
    backup = None
    if before and database.file:
        backup = database.file.with_name(f"{database.file.name}.before-{HEAD}-{stamp()}")
        await asyncio.to_thread(back_up, database, backup)
    await database.write(upgrade)
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
        raise DatabaseError(f"{database.file} cannot be copied to {target}: {error}") from error


def read_only(file: Path) -> str:
    """The address by which SQLite looks at a file and leaves nothing beside it."""
    # Without a log nobody is writing; else SQLite would make one, and leave it, even to read.
    log = file.with_name(f"{file.name}-wal")
    return f"{file.absolute().as_uri()}?mode=ro" + ("" if log.exists() else "&immutable=1")


@contextmanager
def only_one(database: Database) -> Iterator[None]:
    """Keep a second bot away from a SQLite file; several share PostgreSQL.

    Raises:
        DatabaseError: another process holds it, or its folder cannot be written.
    """
    if database.file is None:
        yield
        return
    lock = FileLock(database.file.with_name(f"{database.file.name}.lock"), blocking=False, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        if not os.access(database.file.parent, os.W_OK):
            raise DatabaseError(
                f"{database.file.parent} cannot be written; check its owner and mode"
            ) from error
        raise DatabaseError(
            f"{database.file} is in use by another `banter run`; stop it first (several share PostgreSQL)"
        ) from error
    except OSError as error:
        raise DatabaseError(
            f"{database.file.parent} cannot be written: {error.strerror}; check its owner and mode"
        ) from error
    try:
        yield
    finally:
        lock.release()


def version_of(connection: Connection) -> str:
    """As `version`, on a connection.

    Raises:
        DatabaseError: the tables are not ours, or the step is not told.
    """
    names = inspect(connection).get_table_names()
    if "alembic_version" not in names:
        if names:
            raise DatabaseError("the database holds tables that are not ours; name another one")
        return ""
    step = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if not step and len(names) > 1:
        raise DatabaseError("the database does not say its version; `banter restore` a backup")
    return step or ""


def known() -> set[str]:
    """All steps that this program has."""
    from alembic.script import ScriptDirectory

    return {step.revision for step in ScriptDirectory(str(_LOCATION)).walk_revisions()}


def upgrade(connection: Connection) -> None:
    """Bring the tables of a connection up to date."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_LOCATION).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def stamp() -> str:
    """For names of copies: now, in UTC."""
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
