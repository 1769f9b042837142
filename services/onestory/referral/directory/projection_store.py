"""SQL of the directory's projection: all statements, and the rows of the current one of each resource."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from onestory.referral.directory.affiliations import AffiliationRow
from onestory.referral.directory.model import CurrentDirectoryStatement, DirectoryStatement
from onestory.referral.directory.rows import (
    DirectoryRow,
    OrganisationRow,
    PractitionerRow,
    RoleRow,
    TeamRow,
)
from onestory.referral.directory.slots import ScheduleRow, SlotRow
from onestory.referral.directory.successions import SuccessionRow

# Resources in different partitions refer to each other. One projector at a time resolves the references, so that it
# sees every row that the others wrote.
_LOCK = 0xD1EC

_TABLES: dict[type[DirectoryRow], str] = {
    OrganisationRow: "directory_organisation",
    AffiliationRow: "directory_affiliation",
    TeamRow: "directory_team",
    PractitionerRow: "directory_practitioner",
    RoleRow: "directory_role",
    ScheduleRow: "directory_schedule",
    SlotRow: "directory_slot",
}


def lock_directory(transaction: psycopg.Connection) -> None:
    """Wait until no other transaction projects the directory, and keep others waiting until this one ends."""
    transaction.execute("select pg_advisory_xact_lock(%s, hashtext(current_schema))", [_LOCK])


def insert_statements(
    transaction: psycopg.Connection, statements: Sequence[DirectoryStatement]
) -> set[tuple[str, UUID]]:
    """Store statements, each with its earliest rank and time.

    Returns (shared id, event id) of all that are stored now, known ones too. A missing pair reuses the event id of
    other content.
    """
    columns = [list(column) for column in zip(*statements, strict=True)]
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


def current_resources(transaction: psycopg.Connection, shared_ids: Collection[str]) -> list[CurrentDirectoryStatement]:
    """Return the last assertion of each resource, and whether a retraction has followed it."""
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
    return [CurrentDirectoryStatement(*row) for row in rows]


def write_rows(transaction: psycopg.Connection, rows: Collection[DirectoryRow]) -> None:
    """Insert or replace these rows, and give roles the user id and name of their practitioner where it is known."""
    for kind, table in _TABLES.items():
        _write_table(transaction, table, [row for row in rows if isinstance(row, kind)])
    _write_role_teams(transaction, [row for row in rows if isinstance(row, RoleRow)])
    _resolve_practitioners(transaction, sorted(row.shared_id for row in rows))


def write_successions(
    transaction: psycopg.Connection, resource_ids: Collection[str], rows: Sequence[SuccessionRow]
) -> None:
    """Replace the successions that these resources state."""
    transaction.execute("delete from referral.directory_succession where resource_id = any(%s)", [list(resource_ids)])
    statement = sql.SQL(
        "insert into referral.directory_succession ({}) values ({}) on conflict (succession_id) do nothing"
    ).format(
        sql.SQL(", ").join(map(sql.Identifier, SuccessionRow._fields)),
        sql.SQL(", ").join(sql.Placeholder() * len(SuccessionRow._fields)),
    )
    with transaction.cursor() as cursor:
        cursor.executemany(statement, [tuple(row) for row in rows])


def _write_table(transaction: psycopg.Connection, table: str, rows: Sequence[DirectoryRow]) -> None:
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
        cursor.executemany(statement, [_row_values(row, columns) for row in rows])


def _row_values(row: DirectoryRow, columns: Sequence[str]) -> list[Any]:
    return [getattr(row, name) for name in columns]


def _write_role_teams(transaction: psycopg.Connection, roles: Sequence[RoleRow]) -> None:
    if not roles:
        return
    ids = [role.shared_id for role in roles]
    transaction.execute("delete from referral.directory_role_team where role_id = any(%s)", [ids])
    with transaction.cursor() as cursor:
        cursor.executemany(
            "insert into referral.directory_role_team (role_id, team_id, dos_service_id) values (%s, %s, %s)",
            [(role.shared_id, *team) for role in roles for team in sorted(role.teams)],
        )


def _resolve_practitioners(transaction: psycopg.Connection, shared_ids: Sequence[str]) -> None:
    """Copy the practitioner's user id, name and state into roles that refer to a Practitioner of the same source."""
    transaction.execute(
        """update referral.directory_role r set subject = p.subject, name = p.name, is_in_post = p.active
           from referral.directory_practitioner p
           where p.shared_id = r.practitioner_id and p.said_by = r.said_by
             and (r.shared_id = any(%(touched)s) or r.practitioner_id = any(%(touched)s))
             and (r.subject, r.name, r.is_in_post) is distinct from (p.subject, p.name, p.active)""",
        {"touched": shared_ids},
    )


def count_unresolved(transaction: psycopg.Connection) -> dict[str, int]:
    """Return how many teams and roles wait for a resource that they refer to, by FHIR type."""
    row = transaction.execute(
        """select
               (select count(*) from referral.directory_team t
                where not exists (select from referral.team where team_id = t.shared_id)),
               (select count(*) from referral.directory_role r
                where not exists (select from referral.role where role_id = r.shared_id))"""
    ).fetchone()
    assert row is not None
    return {"HealthcareService": row[0], "PractitionerRole": row[1]}
