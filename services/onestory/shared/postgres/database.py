"""PostgreSQL for processes that serve: a database that does not answer is `Unavailable`, not an error of ours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
import psycopg
from psycopg import sql

from onestory.shared.errors import Misconfigured, Unavailable

Result = TypeVar("Result")
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # What asyncpg says of a connection that broke between two of its steps.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


def create_pool(dsn: str) -> asyncpg.Pool:
    """A pool that connects when it is first asked, so that a process can start while PostgreSQL is away."""
    return asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=8,
        timeout=3.0,
        command_timeout=10.0,
        # Rooms read the record's tables. Compiling a query to machine code takes longer than these queries do.
        server_settings={"search_path": "record", "jit": "off"},
        reset=_keep,
    )


async def _keep(_connection: object) -> None:
    """Nothing to reset: no query leaves a setting or a lock, and asyncpg's own reset is a round trip for each read."""


class Queries(Protocol):
    """Questions to PostgreSQL. Each raises `Unavailable`."""

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        """All rows."""

    async def fetchrow(self, query: str, *arguments: object) -> Any:
        """The first row, or None."""

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """The first value of the first row."""


class Transaction(Queries, Protocol):
    """What a transaction adds: commands. They are all done, or none is."""

    async def execute(self, query: str, *arguments: object) -> str:
        """Do it; the command tag."""


class Database:
    """Queries on a pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        """All rows. Raises `Unavailable`."""
        return await _answered(self._pool.fetch(query, *arguments))

    async def fetchrow(self, query: str, *arguments: object) -> Any:
        """The first row, or None. Raises `Unavailable`."""
        return await _answered(self._pool.fetchrow(query, *arguments))

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """The first value of the first row. Raises `Unavailable`."""
        return await _answered(self._pool.fetchval(query, *arguments))

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Queries]:
        """Within: all queries see the database at one moment. Raises `Unavailable`."""
        try:
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection
        except _AWAY as error:
            raise _away() from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Within: queries and commands that are done together once it ends without an error.

        Raises `Unavailable`; where the connection breaks while it ends, the outcome is unknown.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection
        except _AWAY as error:
            raise _away() from error


class Joined(Database):
    """A database of which every transaction is part of one that somebody else has begun, and ends."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        super().__init__(transaction)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Within: part of the other one."""
        yield self._transaction


async def _answered(result: Awaitable[Result]) -> Result:
    try:
        return await result
    except _AWAY as error:
        raise _away() from error


def _away() -> Unavailable:
    return Unavailable("The record's database does not answer. Try again.")


# PostgreSQL: connections and migrations. Each room has a schema of its own.

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
# One number for all rooms: migrations of one database run one after the other.
_LOCK = 0x0E57


def connect(dsn: str, room: str) -> psycopg.Connection:
    """A connection whose unqualified names are the room's tables. Raises `Unavailable`."""
    try:
        return psycopg.connect(dsn, options=f"-c search_path={room}", application_name=f"onestory-{room}")
    except psycopg.OperationalError as error:
        raise Unavailable("PostgreSQL does not answer at the address in ONESTORY_POSTGRES.") from error


def migrate(dsn: str, room: str, folder: Path) -> list[str]:
    """Apply the room's numbered files that have not run yet, each in its own transaction; their names.

    Raises `Misconfigured` when a file that has run is gone: the database belongs to a newer release.
    """
    files = {path.name: path for path in sorted(folder.iterdir()) if _FILE.fullmatch(path.name)}
    with connect(dsn, room) as connection:
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        done = _done(connection, room)
        if unknown := done - set(files):
            raise Misconfigured(f"The database has migrations of {room} that this release lacks: {sorted(unknown)}.")
        pending = [name for name in files if name not in done]
        for name in pending:
            _apply(connection, name, files[name].read_text())
        return pending


def _done(connection: psycopg.Connection, room: str) -> set[str]:
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(room)))
    connection.execute("create table if not exists migration (name text primary key, at timestamptz default now())")
    connection.commit()
    return {name for (name,) in connection.execute("select name from migration").fetchall()}


def _apply(connection: psycopg.Connection, name: str, script: str) -> None:
    connection.execute(script.encode())
    connection.execute("insert into migration (name) values (%s)", [name])
    connection.commit()
