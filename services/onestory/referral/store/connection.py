"""The connection of `onestory project referral`."""

from __future__ import annotations

from contextlib import ExitStack, closing

import psycopg

from onestory.shared import postgres
from onestory.shared.errors import Misconfigured


def connect(dsn: str) -> psycopg.Connection:
    """A connection to the room's tables. Raises `Unavailable`; `Misconfigured` when they are not there."""
    with ExitStack() as unless_ready:
        connection = unless_ready.enter_context(closing(postgres.connect(dsn, "referral")))
        try:
            connection.execute("select from directory_statement limit 1")
        except psycopg.errors.UndefinedTable as error:
            raise Misconfigured("The database has no referrals yet: run `onestory migrate` first.") from error
        connection.commit()
        unless_ready.pop_all()
        return connection
