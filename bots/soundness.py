"""Whether the database can be worked with: findings for the doctor, which changes and makes nothing."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from bots import schema
from bots.database import Database, reason_of, url_from_settings
from bots.errors import DatabaseError, SettingsError
from bots.messages import Finding
from bots.options import DatabaseSettings
from bots.tables import inbox

SERVER_TIMEOUT_S = 5.0
_FEW_BYTES = 200 << 20
_ELSEWHERE = "name another database.path in config.toml, or move what is in the way"
_RESTORE = "`banter restore` a backup, or move the file away"


async def examine(settings: DatabaseSettings, timeout_s: float = SERVER_TIMEOUT_S) -> list[Finding]:
    """All there is to say about the database of the settings; a server is waited for so long."""
    try:
        url = url_from_settings(settings)
    except SettingsError as error:
        return [_problem(str(error), "correct BANTER_DATABASE__URL")]
    if url.drivername == "sqlite":
        return list(_file(Path(url.database or "")))
    return await _server(settings, timeout_s)


async def _server(settings: DatabaseSettings, timeout_s: float) -> list[Finding]:
    fix = "check that it runs, and address, name and password in BANTER_DATABASE__URL"
    try:
        database = Database(settings)  # of a server: connects and makes nothing yet
    except SettingsError as error:
        return [_problem(str(error), "install it where banter runs")]
    try:
        async with asyncio.timeout(timeout_s):
            return await database.read(lambda connection: list(_tables(connection)))
    except TimeoutError:
        return [_problem(f"{database.name} does not answer in {timeout_s:g} s", fix)]
    except DatabaseError as error:
        return [_problem(str(error).partition("; `banter doctor`")[0], fix)]
    finally:
        await database.close()


def _file(file: Path) -> Iterator[Finding]:
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    if not folder.is_dir():
        yield _problem(f"{folder} is a file, so {file} cannot be made", _ELSEWHERE)
        return
    if file.is_dir():
        yield _problem(f"{file} is a folder, no database", _ELSEWHERE)
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield _problem(f"{folder} cannot be written", "change its owner or mode, or database.path")
    if shutil.disk_usage(folder).free < _FEW_BYTES:
        yield Finding("warning", f"little room is left in {folder}", "free some space")
    if not file.exists():
        yield Finding("ok", f"{file} will be made at the first start")
    elif not os.access(file, os.R_OK | os.W_OK):
        yield _problem(f"{file} cannot be read and written", "change its owner or mode")
    elif file.stat().st_size == 0:
        yield Finding("ok", f"{file} is empty; its tables will be made at the first start")
    else:
        yield from _content(file)


def _content(file: Path) -> Iterator[Finding]:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(schema.read_only(file), uri=True, timeout=SERVER_TIMEOUT_S)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            state = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if state != "ok":
                yield _problem(f"{file} is damaged: {state}", _RESTORE)
                return
            yield from _tables(connection)
    except SQLAlchemyError as error:
        yield _problem(f"{file} cannot be read: {reason_of(error)}", _RESTORE)
    finally:
        engine.dispose()


def _tables(connection: Connection) -> Iterator[Finding]:
    """One finding about the schema; of a schema that is ours, also what stands in it."""
    try:
        step = schema.version_of(connection)
    except DatabaseError as error:
        yield _problem(str(error), _RESTORE)
        return
    if not step:
        yield Finding("ok", "it can be reached; its tables will be made at the first start")
    elif step not in schema.known():
        yield _problem(
            f"written by a newer version (schema {step}, here is {schema.HEAD})", "update Banterbrain"
        )
    elif step != schema.HEAD:
        fix = "`banter migrate`, or just start: a backup is made first"
        yield Finding("warning", f"of an older version (schema {step})", fix)
    else:
        yield Finding("ok", "sound and up to date")
        dead = select(func.count()).select_from(inbox).where(inbox.c.state == "dead")
        if num_dead := connection.execute(dead).scalar():
            fix = 'see the log for `an answer failed`; `log.level = "debug"` shows where'
            yield Finding("warning", f"{num_dead} messages could not be answered", fix)


def _problem(what: str, fix: str) -> Finding:
    return Finding("problem", what, fix)
