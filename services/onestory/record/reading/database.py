"""The pool behind reads: a database that does not answer is `Unavailable`, not an error of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import asyncpg

from onestory.shared.errors import Unavailable

Result = TypeVar("Result")
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


class Database:
    """Queries on a pool, in the schema that its search_path names."""

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


async def _answered(result: Awaitable[Result]) -> Result:
    try:
        return await result
    except _AWAY as error:
        raise Unavailable("The record's database does not answer. Try again.") from error
