"""The directory as it is projected: every statement kept, and what stands of each resource as rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from onestory.referral.directory.model import DirectoryResource
from onestory.referral.directory.rows import (
    DirectoryStatement,
    Listed,
    ListedOrganisation,
    ListedPractitioner,
    ListedRole,
    ListedTeam,
)
from onestory.referral.directory.slots import ListedSchedule, ListedSlot

# Resources of several partitions refer to each other: whoever resolves them sees all that others wrote.
_LOCK = 0xD1EC

_TABLES: dict[type[Listed], str] = {
    ListedOrganisation: "directory_organisation",
    ListedTeam: "directory_team",
    ListedPractitioner: "directory_practitioner",
    ListedRole: "directory_role",
    ListedSchedule: "directory_schedule",
    ListedSlot: "directory_slot",
}


def lock(transaction: psycopg.Connection) -> None:
    """Be the only one who projects the directory, until this transaction ends."""
    transaction.execute("select pg_advisory_xact_lock(%s, hashtext(current_schema))", [_LOCK])


def keep(transaction: psycopg.Connection, said: Sequence[DirectoryStatement]) -> set[tuple[str, UUID]]:
    """Keep statements, each clock with its earliest value; the names of those kept, also of those known before.

    What is missing among them has the event id of other content.
    """
    columns = [list(column) for column in zip(*said, strict=True)]
    rows = transaction.execute(
        """insert into referral.directory_statement
               (shared_id, event_id, rank, published_at, resource_type, said_by, operation, content, digest)
           select * from unnest(%b::text[], %b::uuid[], %b::bigint[], %b::timestamptz[], %b::text[], %b::text[],
                                %b::text[], %b::bytea[], %b::bytea[])
           on conflict (shared_id, event_id) do update set
               rank = least(directory_statement.rank, excluded.rank),
               published_at = least(directory_statement.published_at, excluded.published_at)
           where (directory_statement.operation, directory_statement.digest) = (excluded.operation, excluded.digest)
           returning shared_id, event_id""",
        columns,
        binary=True,
    ).fetchall()
    return {(shared_id, event_id) for shared_id, event_id in rows}


def standing(transaction: psycopg.Connection, shared_ids: Collection[str]) -> list[DirectoryResource]:
    """What stands of these resources: the last assertion, and whether it has been retracted since."""
    rows = transaction.execute(
        """with said as (
               select * from referral.directory_statement where shared_id = any(%s)
           ), asserted as (
               select distinct on (shared_id) shared_id, resource_type, said_by, content
               from said where operation = 'assert'
               order by shared_id, rank desc, published_at desc, event_id desc
           ), last as (
               select distinct on (shared_id) shared_id, operation
               from said order by shared_id, rank desc, published_at desc, event_id desc
           )
           select shared_id, resource_type, said_by, content, operation = 'assert'
           from asserted join last using (shared_id)
           order by shared_id""",
        [sorted(shared_ids)],
        binary=True,
    ).fetchall()
    return [DirectoryResource(*row) for row in rows]


def put(transaction: psycopg.Connection, rows: Collection[Listed]) -> None:
    """Let these rows stand, and roles name whom they are of as far as that is known."""
    for kind, table in _TABLES.items():
        _put(transaction, table, [row for row in rows if isinstance(row, kind)])
    _put_teams(transaction, [row for row in rows if isinstance(row, ListedRole)])
    _resolve(transaction, sorted(row.shared_id for row in rows))


def _put(transaction: psycopg.Connection, table: str, rows: Sequence[Listed]) -> None:
    if not rows:
        return
    columns = [name for name in rows[0]._fields if name != "teams"]
    statement = sql.SQL(
        "insert into referral.{table} ({columns}) values ({values}) on conflict (shared_id) do update set {changes}"
    ).format(
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(sql.Placeholder() * len(columns)),
        changes=sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns if name != "shared_id"
        ),
    )
    with transaction.cursor() as cursor:
        cursor.executemany(statement, [_values(row, columns) for row in rows])


def _values(row: Listed, columns: Sequence[str]) -> list[Any]:
    return [getattr(row, name) for name in columns]


def _put_teams(transaction: psycopg.Connection, roles: Sequence[ListedRole]) -> None:
    if not roles:
        return
    ids = [role.shared_id for role in roles]
    transaction.execute("delete from referral.directory_role_team where role_id = any(%s)", [ids])
    with transaction.cursor() as cursor:
        cursor.executemany(
            "insert into referral.directory_role_team (role_id, team_id, dos_service_id) values (%s, %s, %s)",
            [(role.shared_id, *team) for role in roles for team in sorted(role.teams)],
        )


def _resolve(transaction: psycopg.Connection, touched: Sequence[str]) -> None:
    """A role that names its practitioner by reference has the user id that the same source gives there."""
    transaction.execute(
        """update referral.directory_role r set subject = p.subject, name = p.name, is_in_post = p.active
           from referral.directory_practitioner p
           where p.shared_id = r.practitioner_id and p.said_by = r.said_by
             and (r.shared_id = any(%(touched)s) or r.practitioner_id = any(%(touched)s))
             and (r.subject, r.name, r.is_in_post) is distinct from (p.subject, p.name, p.active)""",
        {"touched": touched},
    )


def unresolved(transaction: psycopg.Connection) -> dict[str, int]:
    """How many teams and roles wait for what they refer to, by FHIR type."""
    row = transaction.execute(
        """select
               (select count(*) from referral.directory_team t
                where not exists (select from referral.team where team_id = t.shared_id)),
               (select count(*) from referral.directory_role r
                where not exists (select from referral.role where role_id = r.shared_id))"""
    ).fetchone()
    assert row is not None
    return {"HealthcareService": row[0], "PractitionerRole": row[1]}
