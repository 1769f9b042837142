"""The projector's connection: its temporary tables, and the check that it is the right record."""

from __future__ import annotations

from contextlib import ExitStack, closing

import psycopg

from onestory.shared import postgres
from onestory.shared.errors import Misconfigured
from onestory.shared.identity import Keys, PersonIdentifier

_TABLES = """
create temp table staged_current (
    person_key text, resource_type text, shared_id text, event_id uuid, rank bigint, published_at timestamptz,
    organisation text, system text, operation text, content_digest bytea, away boolean
) on commit delete rows;
create temp table staged_claim (
    resource_hash text, person_key text, rank bigint, published_at timestamptz, event_id uuid
) on commit delete rows;
create temp table staged_repeat (
    person_key text, shared_id text, event_id uuid, rank bigint, published_at timestamptz, recorded_at timestamptz,
    broker_time timestamptz, "offset" bigint
) on commit delete rows;
"""

# A plan made while a table was small would be kept when it is large; every lookup here is by the key that it joins on.
_PLANNING = """
set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set enable_material = off;
set plan_cache_mode = force_generic_plan;
"""


def connect(dsn: str, keys: Keys, generation: str = "record") -> psycopg.Connection:
    """A connection for the projector of a generation of the record.

    Raises `Unavailable`; `Misconfigured` when the tables are not there or were written with another key secret: then
    every message would be parked.
    """
    with ExitStack() as unless_ready:
        connection = unless_ready.enter_context(closing(postgres.connect(dsn, generation)))
        _check(connection, keys)
        connection.execute(_TABLES)
        connection.execute(_PLANNING)
        connection.commit()
        unless_ready.pop_all()
        return connection


def _check(connection: psycopg.Connection, keys: Keys) -> None:
    try:
        known = connection.execute("select person_key, system, value from person limit 1").fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise Misconfigured("The database has no record yet: run `onestory migrate` first.") from error
    if known and keys.person_key(PersonIdentifier(*known[1:])) != known[0]:
        raise Misconfigured("ONESTORY_KEY_SECRET is not the one that this record was written with.")
