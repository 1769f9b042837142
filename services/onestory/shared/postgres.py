"""PostgreSQL: connections and migrations. Each room has a schema of its own."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
from psycopg import sql

from onestory.shared.errors import Misconfigured, Unavailable

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
