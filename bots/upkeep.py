"""Verbs on the database alone: no model is loaded for them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from bots import people, registry, restoring, schema
from bots.database import Database
from bots.errors import AdapterMissing, DatabaseError
from bots.restoring import Restored
from bots.settings import load

_T = TypeVar("_T")


def on_database(file: Path | None, work: Callable[[Connection], _T], adapter: str) -> _T:
    """One transaction about people of one platform; the database of the settings must be up to date.

    Raises:
        DatabaseError, SettingsError.
        AdapterMissing: the platform is neither installed nor known to the database.
    """

    async def do(database: Database) -> _T:
        if await schema.version(database) != schema.HEAD:
            raise DatabaseError(f"{database.name} is empty or of another version; run `banter migrate`")
        return await database.write(_checked)

    def _checked(connection: Connection) -> _T:
        known = {*registry.names(), *people.platforms(connection)}
        if adapter not in known:
            raise AdapterMissing(f"there is no platform '{adapter}'; known: {', '.join(sorted(known))}")
        return work(connection)

    return _with(file, do)


def migrate(file: Path | None) -> Path | None:
    """Bring the tables up to date; the backup made before, if there was anything to save."""

    async def do(database: Database) -> Path | None:
        with schema.only_one(database):
            return await schema.migrate(database)

    return _with(file, do)


def back_up(file: Path | None, target: Path) -> None:
    """Copy the database."""
    schema.back_up(Database(load(file).database), target)


def restore(file: Path | None, source: Path) -> Restored:
    """Put a backup in its place."""
    return restoring.restore(Database(load(file).database), source)


def _with(file: Path | None, do: Callable[[Database], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        database = Database(load(file).database)
        try:
            return await do(database)
        finally:
            await database.close()

    return asyncio.run(run())
