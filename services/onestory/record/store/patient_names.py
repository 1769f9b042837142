"""Names and birth dates of Patient statements, to find people by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

import psycopg

from onestory.record.domain.patient_name import PatientName, patient_name
from onestory.record.domain.statement import Statement
from onestory.record.store.staging import copy
from onestory.shared.database import Queries

_TYPES = ("text", "text", "uuid", "text", "text[]")
_FILLED_AT_ONCE = 1000

# A name is in force while the statement that says it stands and is part of the record.
_PERSONS = """
select distinct n.person_key
from patient_name n
join current c on c.person_key = n.person_key and c.resource_type = 'Patient'
    and c.shared_id = n.shared_id and c.event_id = n.event_id and c.visible
where n.birth_date = any($1)
    and exists (select from unnest(n.forms) form, unnest($2::text[]) beginning where starts_with(form, beginning))
order by n.person_key
limit $3
"""


async def persons(queries: Queries, birth_dates: Collection[str], beginnings: Collection[str], most: int) -> list[str]:
    """The keys of persons of whom a Patient statement has one of these birth dates and a name that begins so."""
    rows = await queries.fetch(_PERSONS, list(birth_dates), list(beginnings), most)
    return [row["person_key"] for row in rows]


def add(connection: psycopg.Connection, statements: Iterable[Statement]) -> None:
    """Keep the names in statements that are new."""
    said = [each for each in statements if each.resource_type == "Patient" and each.content is not None]
    rows = [patient_name(each.person_key, each.shared_id, each.event_id, each.content or b"") for each in said]
    if any(rows):
        copy(connection, "patient_name", PatientName._fields, _TYPES, [row for row in rows if row])


def fill(connection: psycopg.Connection) -> int:
    """Keep the names in all statements that are there, if that was not done yet; how many were read.

    It may run beside a projector.
    """
    pending = connection.execute("delete from unfilled where name = 'patient_name' returning name").fetchone()
    filled, last = 0, ("", "", "00000000-0000-0000-0000-000000000000")
    while pending and (rows := _after(connection, last)):
        found = [patient_name(*row) for row in rows]
        _add_missing(connection, [row for row in found if row])
        filled, last = filled + len(rows), (rows[-1][0], rows[-1][1], str(rows[-1][2]))
    return filled


def _after(connection: psycopg.Connection, last: tuple[str, str, str]) -> Sequence[tuple[str, str, UUID, bytes]]:
    return connection.execute(
        """select person_key, shared_id, event_id, content from statement
           where (person_key, shared_id, event_id) > (%s, %s, %s::uuid)
               and resource_type = 'Patient' and content is not null
           order by person_key, shared_id, event_id limit %s""",
        [*last, _FILLED_AT_ONCE],
    ).fetchall()


def _add_missing(connection: psycopg.Connection, rows: Sequence[PatientName]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            """insert into patient_name (person_key, shared_id, event_id, birth_date, forms)
               values (%s, %s, %s, %s, %s) on conflict do nothing""",
            rows,
        )
