"""SQL of persons: local identifiers, names, identity links, organisation names, and one version for each person.

The functions with a `connection` join its transaction. The `async` functions read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

import orjson
import psycopg

from onestory.record.person.identifiers import IdentifierMatch, LocalIdentifier, PatientName, patient_name_row
from onestory.record.person.statements import PatientStatement
from onestory.record.projector.rows import StatementRow
from onestory.record.projector.store import copy_rows
from onestory.shared.identity import PROVISIONAL_SYSTEM, is_ods_code_system
from onestory.shared.identity_links import PROVISIONAL, IdentityLinkRow
from onestory.shared.postgres.database import Queries

# Local identifiers.


def add_identifiers(connection: psycopg.Connection, identifiers: Collection[LocalIdentifier]) -> None:
    """Add the local identifiers of new Patient statements."""
    if identifiers:
        connection.execute(
            """insert into patient_identifier (system, value, person_key, shared_id, event_id, organisation)
               select * from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::text[])
               on conflict do nothing""",
            [list(column) for column in zip(*identifiers, strict=True)],
        )


# The limit lets no source push out another by giving the number to many persons.
_IDENTIFIER_MATCHES = """
select person_key, organisation from (
    select said.person_key, said.organisation,
        row_number() over (partition by said.organisation order by said.person_key) as number
    from patient_identifier said
    join current c on c.person_key = said.person_key and c.resource_type = 'Patient' and c.shared_id = said.shared_id
        and c.event_id = said.event_id and c.visible
    where said.system = $1 and said.value = $2
    group by said.person_key, said.organisation
) as stated
order by number, organisation limit 1000
"""


async def identifier_matches(queries: Queries, system: str, value: str) -> list[IdentifierMatch]:
    """The persons with this identifier, by visible current statements, with the organisation that states it."""
    return [IdentifierMatch(*row) for row in await queries.fetch(_IDENTIFIER_MATCHES, system, value)]


async def known_organisations(queries: Queries, codes: Collection[str]) -> frozenset[str]:
    """Those of these ODS codes whose organisations have stated something."""
    rows = await queries.fetch(
        "select distinct organisation from source_heard where organisation = any($1)", list(codes)
    )
    return frozenset(row["organisation"] for row in rows)


_PROVISIONAL_ORGANISATION = "select split_part(value, '|', 1) from person where person_key = $1 and system = $2"


async def provisional_organisation(queries: Queries, person_key: str) -> str | None:
    """The organisation that gave a provisional identity; None when the key is no stored provisional identity."""
    return await queries.fetchval(_PROVISIONAL_ORGANISATION, person_key, PROVISIONAL_SYSTEM)  # type: ignore[no-any-return]


# Names and birth dates.

_PATIENT_NAME_TYPES = ("text", "text", "uuid", "text", "text[]")


def add_patient_names(connection: psycopg.Connection, statements: Iterable[StatementRow]) -> None:
    """Add the names in new Patient statements."""
    patients = [row for row in statements if row.resource_type == "Patient" and row.content is not None]
    rows = [patient_name_row(row.person_key, row.shared_id, row.event_id, row.content or b"") for row in patients]
    if any(rows):
        copy_rows(connection, "patient_name", PatientName._fields, _PATIENT_NAME_TYPES, [row for row in rows if row])


# A name counts while its statement is current and visible.
_PERSONS_BY_NAME = """
select distinct n.person_key
from patient_name n
join current c on c.person_key = n.person_key and c.resource_type = 'Patient'
    and c.shared_id = n.shared_id and c.event_id = n.event_id and c.visible
where n.birth_date = any($1)
    and exists (select from unnest(n.forms) form, unnest($2::text[]) beginning where starts_with(form, beginning))
order by n.person_key
limit $3
"""


async def find_by_name(
    queries: Queries, birth_dates: Collection[str], beginnings: Collection[str], limit: int
) -> list[str]:
    """Keys of persons whose Patient statement has one of these birth dates and a name form that begins so."""
    rows = await queries.fetch(_PERSONS_BY_NAME, list(birth_dates), list(beginnings), limit)
    return [row["person_key"] for row in rows]


_BACKFILL_BATCH = 1000


def backfill_patient_names(connection: psycopg.Connection) -> int:
    """Add the names of all stored statements, unless that was done before. Returns how many statements were read.

    It may run while a projector writes.
    """
    pending = connection.execute("delete from unfilled where name = 'patient_name' returning name").fetchone()
    read, last = 0, ("", "", "00000000-0000-0000-0000-000000000000")
    while pending and (rows := _statements_after(connection, last)):
        names = [patient_name_row(*row) for row in rows]
        _add_missing_names(connection, [row for row in names if row])
        read, last = read + len(rows), (rows[-1][0], rows[-1][1], str(rows[-1][2]))
    return read


def _statements_after(
    connection: psycopg.Connection, last: tuple[str, str, str]
) -> Sequence[tuple[str, str, UUID, bytes]]:
    return connection.execute(
        """select person_key, shared_id, event_id, content from statement
           where (person_key, shared_id, event_id) > (%s, %s, %s::uuid)
               and resource_type = 'Patient' and content is not null
           order by person_key, shared_id, event_id limit %s""",
        [*last, _BACKFILL_BATCH],
    ).fetchall()


def _add_missing_names(connection: psycopg.Connection, rows: Sequence[PatientName]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            """insert into patient_name (person_key, shared_id, event_id, birth_date, forms)
               values (%s, %s, %s, %s, %s) on conflict do nothing""",
            rows,
        )


# Identity links.

# One lock for all identity links. Without it, two projectors that each close half of a cycle would not see each other.
_LINK_LOCK = 0xA11A5


def add_patient_links(connection: psycopg.Connection, links: Collection[IdentityLinkRow]) -> None:
    """Add the identity links. After these locks a transaction may take only those of `person_state`."""
    if any(link.kind != PROVISIONAL for link in links):
        connection.execute("select pg_advisory_xact_lock(%s)", [_LINK_LOCK])
    if links:
        connection.execute(
            """insert into patient_link (other_key, person_key, shared_id, event_id, kind)
               select * from unnest(%b::text[], %b::text[], %b::text[], %b::uuid[], %b::text[])
               on conflict do nothing""",
            [list(column) for column in zip(*links, strict=True)],
        )


def is_in_cycle(connection: psycopg.Connection, link: IdentityLinkRow) -> bool:
    """Whether this link is part of a cycle: following `replaces` and `replaced-by` leads from its person back to it.

    Only links of visible current statements count.
    """
    return (
        connection.execute(
            """with recursive replaced (person_key) as (
                   select %(start)s::text collate "C"
                 union
                   select case when l.kind = 'replaces' then l.other_key else l.person_key end
                   from replaced
                   join patient_link l
                     on (l.kind = 'replaces' and l.person_key = replaced.person_key)
                     or (l.kind = 'replaced-by' and l.other_key = replaced.person_key)
                   join current c
                     on c.person_key = l.person_key and c.resource_type = 'Patient' and c.shared_id = l.shared_id
                    and c.event_id = l.event_id and c.visible
               )
               select from replaced
               join patient_link l
                 on (l.kind = 'replaces' and l.person_key = replaced.person_key and l.other_key = %(start)s)
                 or (l.kind = 'replaced-by' and l.other_key = replaced.person_key and l.person_key = %(start)s)
               join current c
                 on c.person_key = l.person_key and c.resource_type = 'Patient' and c.shared_id = l.shared_id
                and c.event_id = l.event_id and c.visible
               limit 1""",
            {"start": link.person_key},
        ).fetchone()
        is not None
    )


_PATIENT_STATEMENTS = """
select s.shared_id, s.event_id, s.organisation, c.rank, s.broker_time, s.content
from current c
join statement s using (person_key, shared_id, event_id)
where c.person_key = %b and c.resource_type = 'Patient' and c.visible
"""


def patient_statements(connection: psycopg.Connection, person_key: str) -> list[PatientStatement]:
    """The current Patient statements under a person key."""
    return [PatientStatement(*row) for row in connection.execute(_PATIENT_STATEMENTS, [person_key]).fetchall()]


_STATED_PATIENTS = """
select content from statement
where person_key = any($1) and resource_type = 'Patient' and operation = 'assert' and organisation = any($2)
"""


async def stated_patients(
    queries: Queries, person_keys: Collection[str], organisations: Collection[str]
) -> list[bytes]:
    """Every Patient that these organisations have stated under these keys, also earlier versions, in no order."""
    rows = await queries.fetch(_STATED_PATIENTS, list(person_keys), list(organisations))
    return [row["content"] for row in rows]


# Organisations, as they describe themselves in the directory.

_ORGANISATION_NAMES = """
select s.organisation, s.content
from directory_statement s
join directory_current c using (shared_id, event_id)
where s.resource_type = 'Organization' and s.organisation = any($1) and c.operation = 'assert'
order by s.organisation, s.rank, s.published_at, s.event_id
"""


async def organisation_names(queries: Queries, codes: Collection[str]) -> Mapping[str, str]:
    """The names of organisations by ODS code, as each states its own in the directory; the newest of several."""
    names: dict[str, str] = {}
    for row in await queries.fetch(_ORGANISATION_NAMES, list(codes)):
        content = orjson.loads(row["content"])
        identifiers = content.get("identifier") or []
        codes_in_content = {
            identifier.get("value") for identifier in identifiers if is_ods_code_system(identifier.get("system"))
        }
        if row["organisation"] in codes_in_content and content.get("name"):
            names[row["organisation"]] = content["name"]
    return names


# One version for each person: it changes when anything does that a reader sees of the person.

NO_VERSION = 0
"""The version of a person about whom nothing was ever stored."""

# A provisional identity without a row in `person` has no statements, so no reader can have loaded it.
_MARK_CHANGED = """
with touched as (
    select unnest(%b::text[]) collate "C" as person_key
), concerned as (
    select person_key from touched
    union
    select link.other_key from touched join patient_link link using (person_key)
    where not link.beyond_limit
        and (link.kind <> 'provisional' or exists (select from person where person.person_key = link.other_key))
    union
    select link.person_key from touched join patient_link link on link.other_key = touched.person_key
    where not link.beyond_limit
)
insert into person_state as state (person_key, version)
select person_key, pg_current_xact_id()::text::bigint from concerned order by person_key
on conflict (person_key) do update set
    version = excluded.version, changed_at = now(), due_since = coalesce(state.due_since, now())
"""


def mark_changed(connection: psycopg.Connection, person_keys: Collection[str]) -> None:
    """Give these persons, and all persons linked to them, the version of this transaction.

    This must come last in a transaction. Rows are locked in the order of their keys, and no other lock is waited for
    after them.
    """
    if person_keys:
        connection.execute(_MARK_CHANGED, [sorted(person_keys)])


async def person_versions(queries: Queries, person_keys: Collection[str]) -> Mapping[str, int]:
    """The versions of these persons, by person key."""
    rows = await queries.fetch(
        "select person_key, version from person_state where person_key = any($1)", list(person_keys)
    )
    versions = {row["person_key"]: row["version"] for row in rows}
    return {person_key: versions.get(person_key, NO_VERSION) for person_key in person_keys}
