"""SQL of statements whose references an earlier release resolved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from onestory.record.references.domain import (
    StoredStatement,
    SuspectStatement,
    suspect_contained,
    suspect_directory_references,
    suspects_of_submission,
)
from onestory.shared.events import REFERENCE_RULES, Source
from onestory.shared.identity import PersonIdentifier


class Scope(NamedTuple):
    """The statements to look at: of one source organisation, and with this broker time or later. None: all."""

    organisation: str | None
    since: datetime | None


def suspect_statements(connection: psycopg.Connection, scope: Scope) -> Iterator[SuspectStatement]:
    """Yield the statements of earlier rules with a suspect reference. A statement may occur once for each reason."""
    rows = _rows(connection, _SUBMISSIONS, scope)
    for _, submission in groupby(rows, key=lambda row: (row["organisation"], row["system"], row["published_at"])):
        yield from suspects_of_submission([_statement(row) for row in submission])
    for row in _rows(connection, _CONTAINED, scope):
        if suspect := suspect_contained(_statement(row)):
            yield suspect
    for row in _rows(connection, _NOT_IN_DIRECTORY, scope):
        found_at = dict(zip(row["missing"], row["found"], strict=True))
        yield suspect_directory_references(_statement(row), found_at)


def standing_statement(connection: psycopg.Connection, resource_type: str, shared_id: str) -> StoredStatement | None:
    """Return the current statement of a resource that readers see, or None."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_STANDING, {"type": resource_type, "id": shared_id}).fetchone()
    return _statement(row) if row else None


def _rows(connection: psycopg.Connection, query: str, scope: Scope) -> Iterator[dict[str, Any]]:
    parameters = {**scope._asdict(), "rules": REFERENCE_RULES}
    # A cursor on the server: a record may have more of these statements than fit into memory.
    with connection.transaction(), connection.cursor("suspects", row_factory=dict_row) as cursor:
        yield from cursor.execute(query, parameters)


def _statement(row: dict[str, Any]) -> StoredStatement:
    return StoredStatement(
        person_key=row["person_key"],
        person=PersonIdentifier(row["person_system"], row["person_value"]),
        resource_type=row["resource_type"],
        shared_id=row["shared_id"],
        event_id=row["event_id"],
        source=Source(row["organisation"], row["system"]),
        local_id=row["local_id"],
        rank=row["rank"],
        published_at=row["published_at"],
        recorded_at=row["recorded_at"],
        broker_time=row["broker_time"],
        content=row["content"],
        stands=row["stands"],
    )


_COLUMNS = """s.person_key, p.system as person_system, p.value as person_value,
    s.resource_type, s.shared_id, s.event_id, s.organisation, s.system, s.local_id,
    s.rank, s.published_at, s.recorded_at, s.broker_time, s.content,
    exists (
        select from current c
        where (c.person_key, c.resource_type, c.shared_id, c.event_id)
            = (s.person_key, s.resource_type, s.shared_id, s.event_id) and c.visible
    ) as stands"""
_EARLY = """
    event e
    join statement s on s.person_key = e.message_key and s.event_id = e.event_id and s.operation = 'assert'
    join person p on p.person_key = s.person_key"""
_IN_SCOPE = """e.reference_rules < %(rules)s
    and (%(organisation)s::text is null or s.organisation = %(organisation)s)
    and (%(since)s::timestamptz is null or s.broker_time >= %(since)s)"""

# All statements of a submission have its source and its time of publication. A local id that is no FHIR id belongs to
# an entry without an id of its own. Two entries with ids of their own never share a name.
_SUBMISSIONS = f"""
with unclear as (
    select s.organisation, s.system, s.published_at
    from {_EARLY}
    where {_IN_SCOPE}
    group by s.organisation, s.system, s.published_at, s.resource_type
    having count(distinct substr(s.shared_id, 28)) > 1 and bool_or(s.local_id !~ '^[A-Za-z0-9.-]{{1,64}}$')
)
select {_COLUMNS}
from {_EARLY}
where {_IN_SCOPE}
    and (s.organisation, s.system, s.published_at) in (select organisation, system, published_at from unclear)
order by s.organisation, s.system, s.published_at, s.shared_id
"""  # noqa: S608 - no value is inserted
_CONTAINED = f"""
select {_COLUMNS}
from {_EARLY}
where {_IN_SCOPE} and position(convert_to('"contained"', 'UTF8') in s.content) > 0
order by s.published_at, s.shared_id
"""  # noqa: S608
_NOT_IN_DIRECTORY = f"""
select {_COLUMNS}, lost.missing, lost.found
from {_EARLY}
cross join lateral (
    select array_agg(c.resource_type || '/' || substr(c.shared_id, 28)) as missing,
        array_agg(c.resource_type || '/' || c.shared_id) as found
    from (
        select distinct named
        from regexp_matches(
            convert_from(s.content, 'UTF8'), '"reference"\\s*:\\s*"([A-Z][A-Za-z]+)/([a-z2-7]{{26}})"', 'g') named
    ) reference
    join current c on c.person_key = s.person_key and c.resource_type = named[1]
        and c.shared_id = s.person_key || '-' || named[2]
    where not exists (select from directory_current d where d.shared_id = named[2])
) lost
where {_IN_SCOPE} and lost.missing is not null
order by s.published_at, s.shared_id
"""  # noqa: S608
_STANDING = f"""
select {_COLUMNS}
from current c
join statement s using (person_key, shared_id, event_id)
join person p using (person_key)
where c.person_key = substr(%(id)s, 1, 26) and c.resource_type = %(type)s and c.shared_id = %(id)s and c.visible
"""  # noqa: S608
