"""Access to PostgreSQL: an asyncpg pool for processes that serve, psycopg connections for projectors, migrations.

Each service owns one schema. A database that does not answer raises `Unavailable`.
"""

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

_MIGRATION_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
# One lock for all schemas: migrations of one database run one after the other.
_MIGRATION_LOCK = 0x0E57
_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # asyncpg raises this for a connection that broke between two of its steps.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


def create_pool(dsn: str, schema: str) -> asyncpg.Pool:
    """Return a pool whose unqualified table names are those of `schema`.

    It connects at the first query, so a process can start while PostgreSQL is down.
    """
    return asyncpg.create_pool(
        dsn,
        min_size=0,
        # One caller uses at most 8 at a time, and 4 for the reads of its batches. The others are for other callers.
        max_size=16,
        timeout=3.0,
        command_timeout=10.0,
        # Compiling a query to machine code takes longer than these queries take.
        # A prepared query keeps its plan. One that was planned while a table was nearly empty would go on reading the
        # whole table as it grows, until PostgreSQL analyses it.
        server_settings={"search_path": schema, "jit": "off", "enable_seqscan": "off"},
        reset=_skip_reset,
    )


async def _skip_reset(_connection: object) -> None:
    """Do nothing. No query leaves a setting or a lock, and asyncpg's own reset costs each read a round trip."""


class Queries(Protocol):
    """Reads from PostgreSQL. Each method raises `Unavailable`."""

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        """Return all rows."""

    async def fetchrow(self, query: str, *arguments: object) -> Any:
        """Return the first row, or None."""

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """Return the first value of the first row."""


class Transaction(Queries, Protocol):
    """Reads and commands of one transaction: all commands take effect, or none does."""

    async def execute(self, query: str, *arguments: object) -> str:
        """Execute a command and return its command tag."""


class Database:
    """Queries, snapshots and transactions on a pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        """Return all rows. Raises `Unavailable`."""
        return await _unless_unreachable(self._pool.fetch(query, *arguments))

    async def fetchrow(self, query: str, *arguments: object) -> Any:
        """Return the first row, or None. Raises `Unavailable`."""
        return await _unless_unreachable(self._pool.fetchrow(query, *arguments))

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """Return the first value of the first row. Raises `Unavailable`."""
        return await _unless_unreachable(self._pool.fetchval(query, *arguments))

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Queries]:
        """Open a read-only repeatable-read transaction: all its queries see one snapshot. Raises `Unavailable`."""
        try:
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection
        except _UNREACHABLE as error:
            raise _unavailable() from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction that commits when the block ends without an error.

        Raises `Unavailable`. When the connection breaks during the commit, the outcome is unknown.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection
        except _UNREACHABLE as error:
            raise _unavailable() from error


class JoinedDatabase(Database):
    """Joins the caller's open transaction; never commits."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        super().__init__(transaction)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Return the caller's transaction."""
        yield self._transaction


async def _unless_unreachable(result: Awaitable[Result]) -> Result:
    try:
        return await result
    except _UNREACHABLE as error:
        raise _unavailable() from error


def _unavailable() -> Unavailable:
    return Unavailable("PostgreSQL does not answer. Try again.")


def connect(dsn: str, schema: str) -> psycopg.Connection:
    """Return a connection whose unqualified table names are those of `schema`. Raises `Unavailable`."""
    try:
        return psycopg.connect(dsn, options=f"-c search_path={schema}", application_name=f"onestory-{schema}")
    except psycopg.OperationalError as error:
        raise Unavailable("PostgreSQL does not answer at the address in ONESTORY_POSTGRES.") from error


def migrate(dsn: str, schema: str, folder: Path) -> list[str]:
    """Apply the numbered files of `folder` that have not run yet, and return their names.

    Each file runs in a transaction of its own. Raises `Misconfigured` when a file that has run is missing: then the
    database belongs to a newer release.
    """
    files = {path.name: path for path in sorted(folder.iterdir()) if _MIGRATION_NAME.fullmatch(path.name)}
    with connect(dsn, schema) as connection:
        connection.execute("select pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        applied = _applied(connection, schema)
        if unknown := applied - set(files):
            raise Misconfigured(f"The database has migrations of {schema} that this release lacks: {sorted(unknown)}.")
        pending = [name for name in files if name not in applied]
        for name in pending:
            _apply(connection, name, files[name].read_text())
        return pending


def _applied(connection: psycopg.Connection, schema: str) -> set[str]:
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
    connection.execute("create table if not exists migration (name text primary key, at timestamptz default now())")
    connection.commit()
    return {name for (name,) in connection.execute("select name from migration").fetchall()}


def _apply(connection: psycopg.Connection, name: str, script: str) -> None:
    connection.execute(script.encode())
    connection.execute("insert into migration (name) values (%s)", [name])
    connection.commit()
