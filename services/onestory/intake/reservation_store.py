"""The SQL of intake's own tables: idempotency keys, and the reservations of conditional creates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from onestory.shared.errors import Unavailable
from onestory.shared.events import Source
from onestory.shared.postgres.database import Database

# The update changes nothing. It makes the query return the row that another request has just added, too.
_ADD_KEY = """
    insert into intake.idempotency_key as used (organisation, system, key, digest) values ($1, $2, $3, $4)
    on conflict (organisation, system, key) do update set digest = used.digest
    returning digest
"""
# A reservation can be taken over when readers see what its holder published ($4), or when its holder was too slow.
_RESERVE = """
    insert into intake.create_reservation as held (name, holder, expires_at)
    select name, $2::uuid, now() + $3::interval from unnest($1::bytea[]) as name order by name
    on conflict (name) do update set holder = excluded.holder, expires_at = excluded.expires_at, position = null
    where held.holder = excluded.holder
        or held.position = any($4::text[])
        or held.position is null and held.expires_at < now()
    returning name
"""
_HOLDERS = """
    select distinct position from intake.create_reservation
    where name = any($1::bytea[]) and holder <> $2 and position is not null
"""
# Locked in the order of names, as `_RESERVE` does, so that two requests never wait for each other.
_RENEW = """
    with own as (
        select name from intake.create_reservation
        where name = any($1::bytea[]) and holder = $2 order by name for update
    )
    update intake.create_reservation held set expires_at = now() + $3::interval
    from own where held.name = own.name
    returning held.name
"""
_SET_POSITION = "update intake.create_reservation set position = $3 where name = any($1::bytea[]) and holder = $2"
_RELEASE = "delete from intake.create_reservation where name = any($1::bytea[]) and holder = $2"
_FORGET_KEYS = """
    with old as (
        delete from intake.idempotency_key where ctid = any(array(
            select ctid from intake.idempotency_key where first_used_at < now() - $1::interval limit $2
        )) returning 1
    )
    select count(*) from old
"""
_FORGET_RESERVATIONS = """
    with old as (
        delete from intake.create_reservation where ctid = any(array(
            select ctid from intake.create_reservation where expires_at < now() - $1::interval limit $2
        )) returning 1
    )
    select count(*) from old
"""
_FORGET_AT_ONCE = 10_000
# A publisher waits at most five seconds for an answer, and Kafka needs most of that time.
_TIMEOUT_S = 0.8


class _Busy(Exception):
    """Rolls back the reservations of a transaction that did not get all of them."""


class CreateReservations(NamedTuple):
    """Reservations to create resources. `names` are the hashes of what is created."""

    holder: UUID
    names: frozenset[bytes]


async def add_key(database: Database, source: Source, key: str, digest: bytes) -> bytes:
    """Add an idempotency key unless it is there. Return the digest of its first content. Raises `Unavailable`."""
    async with _in_time():
        return bytes(await database.fetchval(_ADD_KEY, source.organisation, source.system, key, digest))


async def reserve(
    database: Database, reservations: CreateReservations, lasts: timedelta, visible: Sequence[str]
) -> bool:
    """Take all of the reservations, or none. Return whether they were taken.

    `visible` are the position tokens that readers have reached. Raises `Unavailable`.
    """
    try:
        async with _in_time(), database.transaction() as transaction:
            names = sorted(reservations.names)
            taken = await transaction.fetch(_RESERVE, names, reservations.holder, lasts, list(visible))
            if len(taken) < len(names):
                raise _Busy
    except _Busy:
        return False
    return True


async def renew(database: Database, reservations: CreateReservations, lasts: timedelta) -> bool:
    """Let the reservations last from now on. Return whether their holder still has all of them.

    Raises `Unavailable`.
    """
    names = sorted(reservations.names)
    async with _in_time():
        return len(await database.fetch(_RENEW, names, reservations.holder, lasts)) == len(names)


async def positions_of_others(database: Database, reservations: CreateReservations) -> list[str]:
    """Return the position tokens of the reservations of others. Raises `Unavailable`."""
    async with _in_time():
        rows = await database.fetch(_HOLDERS, list(reservations.names), reservations.holder)
        return [row["position"] for row in rows]


async def set_position(database: Database, reservations: CreateReservations, position: str) -> None:
    """Let the reservations end when readers see this position. Raises `Unavailable`."""
    async with _in_time():
        await database.fetch(_SET_POSITION, list(reservations.names), reservations.holder, position)


async def release(database: Database, reservations: CreateReservations) -> None:
    """Give the reservations back: nothing was sent. Raises `Unavailable`."""
    async with _in_time():
        await database.fetch(_RELEASE, list(reservations.names), reservations.holder)


async def forget_older(database: Database, age: timedelta) -> None:
    """Delete the keys and reservations that are older than this. Raises `Unavailable`."""
    for query in (_FORGET_KEYS, _FORGET_RESERVATIONS):
        while await database.fetchval(query, age, _FORGET_AT_ONCE) == _FORGET_AT_ONCE:
            continue


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise Unavailable("PostgreSQL does not answer in time. Try again.") from error
