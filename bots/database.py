"""The one door to the database: SQLite in a file or PostgreSQL at a URL, the same statements for both."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Connection, Engine, Table, bindparam, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from bots.errors import DatabaseError, SettingsError
from bots.options import DatabaseSettings

BUSY_TIMEOUT_S = 20
CONNECT_TIMEOUT_S = 10
EMPTY_LOG = "empty log"  # set in a connection's info: once committed, nothing deleted stays in the log
_LOG_TIMEOUT_S = 2.0
_DRIVERS = {"sqlite", "postgresql+asyncpg"}
_T = TypeVar("_T")
_NUM_READERS = 4


class Database:
    """Runs transactions, each a function of a connection.

    On SQLite one thread writes and a few read, so that a transaction costs the event loop one hand-over; on
    PostgreSQL the same functions run on asyncpg.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        """Connect nothing yet; the folder of the file is made.

        Raises:
            SettingsError: the address is none of ours, or its driver is not installed.
            DatabaseError: there can be no file.
        """
        self.url = url_from_settings(settings)
        self.is_sqlite = self.url.drivername == "sqlite"
        self.file = Path(self.url.database or "") if self.is_sqlite else None
        if self.file is None:
            self._shared, self._foreign = _postgres(self.url)
            return
        self._foreign = (SQLAlchemyError, OSError)
        _make_room(self.file)
        self._writer, self._write_thread = self._sqlite("IMMEDIATE", settings.synchronous), _threads(1)
        self._reader, self._read_threads = (
            self._sqlite("DEFERRED", settings.synchronous),
            _threads(_NUM_READERS),
        )

    @property
    def name(self) -> str:
        """How to call it before people: without a password."""
        return str(self.file) if self.file else self.url.set(query={}).render_as_string(hide_password=True)

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """One transaction, committed when this returns; then it survives the death of the process.

        Raises:
            DatabaseError: it cannot be reached or used; nothing was written.
        """
        with self._border():
            if self.file is None:
                async with self._shared.begin() as connection:
                    return await connection.run_sync(work)

            def transact() -> _T:
                with self._writer.begin() as connection:
                    done = work(connection)
                    is_log_emptied = connection.info.pop(EMPTY_LOG, False)
                if is_log_emptied:
                    self._empty_log()
                return done

            return await asyncio.get_running_loop().run_in_executor(self._write_thread, transact)

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """One consistent look.

        Raises:
            DatabaseError: it cannot be reached or used.
        """
        with self._border():
            if self.file is None:
                async with self._shared.connect() as connection:
                    return await connection.run_sync(work)

            def look() -> _T:
                with self._reader.connect() as connection:
                    return work(connection)

            return await asyncio.get_running_loop().run_in_executor(self._read_threads, look)

    @contextmanager
    def _border(self) -> Iterator[None]:
        """What drivers raise becomes one sentence."""
        try:
            yield
        except self._foreign as error:
            raise DatabaseError(
                f"{self.name} cannot be used: {reason_of(error)}; `banter doctor` looks at it"
            ) from error

    async def close(self) -> None:
        """Let go of all connections, once what runs is done."""
        if self.file is None:
            await self._shared.dispose()
            return
        for threads in (self._write_thread, self._read_threads):
            await asyncio.to_thread(threads.shutdown)
        self._writer.dispose()
        self._reader.dispose()

    def _empty_log(self) -> None:
        """Move SQLite's write-ahead log into the file and cut it; not while others read an older state."""
        assert self.file is not None
        with closing(sqlite3.connect(self.file, timeout=_LOG_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _sqlite(self, begin: str, synchronous: str) -> Engine:
        engine = create_engine(self.url, pool_size=_NUM_READERS, max_overflow=0)

        @event.listens_for(engine, "do_connect")
        def keep_to_the_owner(dialect: Any, record: Any, args: Any, options: Any) -> None:
            assert self.file is not None
            make_private(self.file)  # SQLite gives its journals the same mode

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, entry: ConnectionPoolEntry) -> None:
            connection.isolation_level = None  # the driver would begin by itself, and too late
            for pragma in (
                f"busy_timeout={BUSY_TIMEOUT_S * 1000}",
                "journal_mode=WAL",
                f"synchronous={synchronous}",
                "foreign_keys=ON",
                "secure_delete=ON",  # what is deleted is overwritten
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


def url_from_settings(settings: DatabaseSettings) -> URL:
    """The address of the database with its driver.

    Raises:
        SettingsError: it is no address, or of a database that is not supported; its text shows no password.
    """
    if settings.url is None:
        return URL.create("sqlite", database=str(Path(settings.path).expanduser()))
    try:
        url = make_url(settings.url.get_secret_value())
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise SettingsError("database.url: this is no database address") from None
    if url.drivername not in _DRIVERS:
        known = ", ".join(sorted(_DRIVERS))
        raise SettingsError(f"database.url: it begins with {url.drivername}://, known: {known}")
    if url.drivername == "sqlite" and (url.database or ":memory:") == ":memory:":
        raise SettingsError("database.url: it names no file; write sqlite:///folder/banter.db")
    return url


def reason_of(error: BaseException) -> str:
    """What a driver says, in one line; of a failed statement only its kind: it may quote people."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        is_telling = type(error).__name__ in ("OperationalError", "InterfaceError", "DatabaseError")
        error = error.orig.__cause__ or error.orig
        if not is_telling:
            return type(error).__name__
    elif isinstance(error, SQLAlchemyError):
        return type(error).__name__
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    words = str(getattr(error, "strerror", None) or error).strip()
    return words.splitlines()[0] if words else type(error).__name__


def make_private(file: Path) -> None:
    """Make the file, readable for its owner alone; one that is there keeps the mode that somebody gave it."""
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _make_room(file: Path) -> None:
    if file.is_dir():
        raise DatabaseError(f"{file} is a folder, no database; name a file as database.path in config.toml")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        # mkdir says "exists" of a file that is in the way
        why = "a file is in the way" if isinstance(error, FileExistsError) else error.strerror
        raise DatabaseError(
            f"the folder {file.parent} of the database cannot be made: {why}; "
            "name another database.path in config.toml"
        ) from error


def _postgres(url: URL) -> tuple[AsyncEngine, tuple[type[Exception], ...]]:
    """An engine, and what may come out of it: failed connections come as the driver raises them."""
    try:
        import asyncpg
    except ModuleNotFoundError as error:
        raise SettingsError(
            "database.url: PostgreSQL needs its driver; `pip install 'banterbrain[postgres]'`"
        ) from error
    engine = create_async_engine(
        url, pool_size=10, pool_pre_ping=True, connect_args={"timeout": CONNECT_TIMEOUT_S}
    )
    return engine, (SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
