"""A PostgreSQL for tests, from the package index: nothing has to be installed or running."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Protocol

import pytest
from pydantic import SecretStr

from bots.options import DatabaseSettings


class Server(Protocol):
    """What is asked of `pgserver`'s."""

    def psql(self, command: str) -> str:
        """Run a statement."""

    def get_uri(self, database: str | None = None) -> str:
        """The address, with a socket of its own."""


class Postgres:
    """Makes empty databases."""

    def __init__(self, server: Server) -> None:
        self._server, self._numbers = server, count(1)

    def database(self) -> DatabaseSettings:
        """One that nobody has used yet."""
        name = f"banter_{next(self._numbers)}"
        self._server.psql(f"CREATE DATABASE {name};")
        url = self._server.get_uri(database=name).replace("postgresql://", "postgresql+asyncpg://")
        return DatabaseSettings(url=SecretStr(url))


@contextmanager
def running() -> Iterator[Postgres]:
    """Until the end of the block, as a user of its own where we are root; skips where there is none.

    Where nothing may be skipped (CI is set) its absence is a failure.
    """
    try:
        with warnings.catch_warnings():  # it looks for a folder that only a login has
            warnings.simplefilter("ignore")
            import pgserver
    except ImportError:
        reason = "no PostgreSQL: `pip install pgserver`, which has wheels for Python 3.11 and 3.12"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    # Not below pytest's own folder, which is closed to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="banter-postgres-", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        for setting in ("fsync", "synchronous_commit"):  # it lives for minutes
            server.psql(f"ALTER SYSTEM SET {setting} = off;")
        server.psql("SELECT pg_reload_conf();")
        try:
            yield Postgres(server)
        finally:
            server.cleanup()
