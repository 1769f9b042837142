"""A database that does not answer is reported as unavailable, so the caller may try again. It is no internal error."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import asyncpg
import pytest

from onestory.shared.errors import Unavailable
from onestory.shared.postgres.database import Database


class Away:
    """A fake pool whose server fails in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def fetch(self, _query: str) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        asyncpg.InterfaceError("the pool is closing"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.TooManyConnectionsError("enough"),
    ],
)
def test_a_database_that_is_away_is_unavailable(error: Exception) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(Database(cast(Any, Away(error))).fetch("select 1"))


def test_a_wrong_query_is_an_error_of_ours() -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        asyncio.run(Database(cast(Any, Away(asyncpg.UndefinedTableError("no")))).fetch("select 1"))
