"""Local identifiers of people: kept as they are said, found while they are in force."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

import orjson
import psycopg

from onestory.record.person.identifiers import Bearer, LocalIdentifier, PatientName, patient_name
from onestory.record.projector.rows import StatementRow
from onestory.record.projector.store import copy_rows
from onestory.shared.identity import PROVISIONAL_SYSTEM, is_ods_code_system
from onestory.shared.person_links import PROVISIONAL, PatientLink
from onestory.shared.postgres.database import Queries

_BEARERS = """
select distinct said.person_key, said.organisation
from patient_identifier said
join current c on c.person_key = said.person_key and c.resource_type = 'Patient' and c.shared_id = said.shared_id
    and c.event_id = said.event_id and c.visible
where said.system = $1 and said.value = $2
"""

_GIVER = "select split_part(value, '|', 1) from person where person_key = $1 and system = $2"


def add_identifiers(connection: psycopg.Connection, identifiers: Collection[LocalIdentifier]) -> None:
    """Keep what new Patient statements say."""
    if identifiers:
        connection.execute(
            """insert into patient_identifier (system, value, person_key, shared_id, event_id, organisation)
               select * from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::text[])
               on conflict do nothing""",
            [list(column) for column in zip(*identifiers, strict=True)],
        )


async def giver(queries: Queries, person_key: str) -> str | None:
    """The organisation whose provisional identity a key is; None where it is none that anybody has spoken of."""
    return await queries.fetchval(_GIVER, person_key, PROVISIONAL_SYSTEM)  # type: ignore[no-any-return]


async def bearers(queries: Queries, system: str, value: str) -> list[Bearer]:
    """Of whom it is said that this is the identifier, and by whom."""
    return [Bearer(*row) for row in await queries.fetch(_BEARERS, system, value)]


# Names and birth dates of Patient statements, to find people by.

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


async def find_by_name(
    queries: Queries, birth_dates: Collection[str], beginnings: Collection[str], most: int
) -> list[str]:
    """The keys of persons of whom a Patient statement has one of these birth dates and a name that begins so."""
    rows = await queries.fetch(_PERSONS, list(birth_dates), list(beginnings), most)
    return [row["person_key"] for row in rows]


def add_names(connection: psycopg.Connection, statements: Iterable[StatementRow]) -> None:
    """Keep the names in statements that are new."""
    said = [each for each in statements if each.resource_type == "Patient" and each.content is not None]
    rows = [patient_name(each.person_key, each.shared_id, each.event_id, each.content or b"") for each in said]
    if any(rows):
        copy_rows(connection, "patient_name", PatientName._fields, _TYPES, [row for row in rows if row])


def fill_names(connection: psycopg.Connection) -> int:
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


# Other identities that Patient statements name, and cycles among them.

# One lock for all aliases: two projectors that each close half of a cycle would not see each other.
_LOCK = 0xA11A5


def add_links(connection: psycopg.Connection, links: Collection[PatientLink]) -> None:
    """Note them. Must be the last locks that a transaction takes, but for those of `states`."""
    if any(link.kind != PROVISIONAL for link in links):
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    if links:
        connection.execute(
            """insert into patient_link (other_key, person_key, shared_id, event_id, kind)
               select * from unnest(%b::text[], %b::text[], %b::text[], %b::uuid[], %b::text[])
               on conflict do nothing""",
            [list(column) for column in zip(*links, strict=True)],
        )


def in_cycle(connection: psycopg.Connection, link: PatientLink) -> bool:
    """Whether following what replaces what, among links in force, leads from this link's person back to it."""
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


# Organisations as they describe themselves in the directory.

_OWN = """
select s.organisation, s.content
from directory_statement s
join directory_current c using (shared_id, event_id)
where s.resource_type = 'Organization' and s.organisation = any($1) and c.operation = 'assert'
order by s.organisation, s.rank, s.published_at, s.event_id
"""


async def organisation_names(queries: Queries, codes: Collection[str]) -> Mapping[str, str]:
    """The names of organisations by ODS code, of those that say their own; the newest, where one says several."""
    found: dict[str, str] = {}
    for row in await queries.fetch(_OWN, list(codes)):
        said = orjson.loads(row["content"])
        identifiers = said.get("identifier") or []
        named = {each.get("value") for each in identifiers if is_ods_code_system(each.get("system"))}
        if row["organisation"] in named and said.get("name"):
            found[row["organisation"]] = said["name"]
    return found


# Whether what is read of a person has changed: one version for each person (`person_state`).

NEVER = 0
"""The version of a person of whom nothing was ever said."""


def mark_changed(connection: psycopg.Connection, person_keys: Collection[str]) -> None:
    """Note that these persons changed in this transaction, and with them everybody who may be the same person.

    Comes last in a transaction: rows are taken in the order of their keys, and nothing is waited for after them.
    """
    if person_keys:
        connection.execute(_CHANGE, [sorted(person_keys)])


# A provisional identity of which nobody spoke is nobody that a reader could have loaded.
_CHANGE = """
with touched as (
    select unnest(%b::text[]) collate "C" as person_key
), concerned as (
    select person_key from touched
    union
    select link.other_key from touched join patient_link link using (person_key)
    where link.kind <> 'provisional' or exists (select from person where person.person_key = link.other_key)
    union
    select link.person_key from touched join patient_link link on link.other_key = touched.person_key
)
insert into person_state as state (person_key, version)
select person_key, pg_current_xact_id()::text::bigint from concerned order by person_key
on conflict (person_key) do update set
    version = excluded.version, changed_at = now(), due_since = coalesce(state.due_since, now())
"""


async def state_versions(queries: Queries, person_keys: Collection[str]) -> Mapping[str, int]:
    """The versions of these persons."""
    rows = await queries.fetch(
        "select person_key, version from person_state where person_key = any($1)", list(person_keys)
    )
    found = {row["person_key"]: row["version"] for row in rows}
    return {person_key: found.get(person_key, NEVER) for person_key in person_keys}
