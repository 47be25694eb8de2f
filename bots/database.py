"""The one door to the database: SQLite in a file or PostgreSQL at a URL, the same statements for both."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Connection, Engine, Table, bindparam, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from bots.errors import SettingsError
from bots.options import DatabaseSettings

BUSY_TIMEOUT_S = 20
_DRIVERS = {"sqlite", "postgresql+asyncpg"}
_T = TypeVar("_T")
_NUM_READERS = 4


class Database:
    """Runs transactions, each a function of a connection.

    On SQLite one thread writes and a few read, so that a transaction costs the event loop one hand-over; on
    PostgreSQL the same functions run on asyncpg.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        """Connect nothing yet; the folder of the file is made."""
        self.url = url_from_settings(settings)
        self.is_sqlite = self.url.startswith("sqlite")
        self.file = Path(make_url(self.url).database or "") if self.is_sqlite else None
        if self.file is None:
            self._shared = create_async_engine(self.url, pool_size=10, pool_pre_ping=True)
            return
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._writer, self._write_thread = self._sqlite("IMMEDIATE", settings.synchronous), _threads(1)
        self._reader, self._read_threads = (
            self._sqlite("DEFERRED", settings.synchronous),
            _threads(_NUM_READERS),
        )

    @property
    def name(self) -> str:
        """How to call it before people: without a password."""
        return str(self.file) if self.file else make_url(self.url).render_as_string(hide_password=True)

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """One transaction, committed when this returns; then it survives the death of the process."""
        if self.file is None:
            async with self._shared.begin() as connection:
                return await connection.run_sync(work)

        def transact() -> _T:
            with self._writer.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._write_thread, transact)

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """One consistent look."""
        if self.file is None:
            async with self._shared.connect() as connection:
                return await connection.run_sync(work)

        def look() -> _T:
            with self._reader.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._read_threads, look)

    async def close(self) -> None:
        """Let go of all connections, once what runs is done."""
        if self.file is None:
            await self._shared.dispose()
            return
        for threads in (self._write_thread, self._read_threads):
            await asyncio.to_thread(threads.shutdown)
        self._writer.dispose()
        self._reader.dispose()

    def _sqlite(self, begin: str, synchronous: str) -> Engine:
        engine = create_engine(self.url, pool_size=_NUM_READERS, max_overflow=0)

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, entry: ConnectionPoolEntry) -> None:
            connection.isolation_level = None  # the driver would begin by itself, and too late
            for pragma in (
                f"busy_timeout={BUSY_TIMEOUT_S * 1000}",
                "journal_mode=WAL",
                f"synchronous={synchronous}",
                "foreign_keys=ON",
            ):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            connection.exec_driver_sql(f"BEGIN {begin}")

        return engine


def _threads(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number, thread_name_prefix="database")


def any_of(name: str) -> BindParameter[Any]:
    """A place for a list of values in a statement that is built once; building costs more than running."""
    return bindparam(name, expanding=True)


@cache
def _insert_new(is_sqlite: bool, table: Table) -> "postgresql.Insert | sqlite.Insert":
    return (sqlite.insert(table) if is_sqlite else postgresql.insert(table)).on_conflict_do_nothing()


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows, but those whose keys are there already."""
    if rows:
        new = [dict(row) for row in rows]
        connection.execute(_insert_new(connection.dialect.name == "sqlite", table), new)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: str = "id") -> None:
    """Write rows, in place of those with the same key."""
    if not rows:
        return
    statement = _upsert(connection.dialect.name == "sqlite", table, key)
    connection.execute(statement, [dict(row) for row in rows])


@cache
def _upsert(is_sqlite: bool, table: Table, key: str) -> "postgresql.Insert | sqlite.Insert":
    statement = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    columns = {column.name: statement.excluded[column.name] for column in table.c if column.name != key}
    return statement.on_conflict_do_update(index_elements=[key], set_=columns)


def url_from_settings(settings: DatabaseSettings) -> str:
    """The address of the database with its driver.

    Raises:
        SettingsError: it is no address, or of a database that is not supported; its text shows no password.
    """
    if settings.url is None:
        return f"sqlite:///{Path(settings.path).expanduser()}"
    try:
        driver = make_url(settings.url.get_secret_value()).drivername
    except ArgumentError:
        raise SettingsError("database.url: this is no database address") from None
    if driver not in _DRIVERS:
        raise SettingsError(f"database.url: it begins with {driver}://, known: {', '.join(sorted(_DRIVERS))}")
    return settings.url.get_secret_value()
