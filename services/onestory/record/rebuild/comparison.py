"""Compares two generations of the record, person by person, with a few statements over whole tables.

For each subject and part there is the number of rows and a hash over them. Left out is what may rightly differ: times
and offsets, effects of the size of batches, and replays of messages that a later release can use at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import psycopg
from psycopg import sql

from onestory.record.rebuild.store import LIVE, NEXT, positions
from onestory.shared.kafka.consumer import Partition
from onestory.shared.kafka.reader import StoredPosition


class GenerationDifference(NamedTuple):
    """A difference in one part of one subject. `now` and `rebuilt` count the rows of each generation.

    The subject is a person key, the id of a directory resource, or the position in Kafka of a parked message. A
    difference shows who it is about and how much there is, never the content.
    """

    subject: str
    part: str
    now: int
    rebuilt: int


def snapshot_live(connection: psycopg.Connection) -> dict[Partition, StoredPosition]:
    """Count the live record in one snapshot. Returns the positions of that snapshot."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        _count_generation(connection, LIVE, None)
        return positions(connection, LIVE)


def differences(connection: psycopg.Connection, limit: int) -> tuple[list[GenerationDifference], int]:
    """Count the next generation, and compare it with the snapshot: the first differences, and how many there are."""
    with connection.transaction():
        _count_generation(connection, NEXT, None)
    return _differences(connection, limit)


def differences_for(
    connection: psycopg.Connection, subjects: Collection[str], limit: int
) -> tuple[list[GenerationDifference], int]:
    """The differences for a few subjects, as both generations are now.

    Persons are added who ever claimed a resource of one of these persons.
    """
    rows = connection.execute(
        sql.SQL(
            """select other.person_key from {claimant} theirs join {claimant} other using (resource_hash)
               where theirs.person_key = any(%s)"""
        ).format(claimant=sql.Identifier(LIVE, "claimant")),
        [list(subjects)],
    ).fetchall()
    all_subjects = sorted({*subjects, *[key for (key,) in rows]})
    for generation in (LIVE, NEXT):
        _count_generation(connection, generation, all_subjects)
    return _differences(connection, limit)


def _count_generation(connection: psycopg.Connection, generation: str, subjects: Collection[str] | None) -> None:
    table = sql.Identifier(f"compared_{generation}")
    counts = sql.SQL(" union all ").join(_count_part(generation, name, part, subjects) for name, part in PARTS.items())
    connection.execute("set local work_mem = '64MB'")
    connection.execute(sql.SQL("drop table if exists pg_temp.{}").format(table))
    connection.execute(sql.SQL("create temp table {} as {}").format(table, counts))
    parked = sql.Identifier(f"parked_{generation}")
    connection.execute(sql.SQL("drop table if exists pg_temp.{}").format(parked))
    connection.execute(
        sql.SQL(
            """create temp table {} as
               select topic, partition, "offset", latest_offset, replayed_offset, waiting from {}"""
        ).format(parked, sql.Identifier(generation, "parked"))
    )


def _count_part(generation: str, name: str, part: ComparedPart, subjects: Collection[str] | None) -> sql.Composed:
    def is_any_of(column: str, keys: Collection[str]) -> sql.Composed:
        return sql.SQL("{} = any({})").format(sql.Identifier(column), sql.Literal(list(keys)))

    if subjects is None:
        filtered: sql.Composable = sql.SQL("true")
    elif part.table == "owner":
        # `owner` has no index by person.
        filtered = sql.SQL("resource_hash in (select substr(shared_id, 28) from {} where {})").format(
            sql.Identifier(generation, "current"), is_any_of("person_key", subjects)
        )
    else:
        filtered = is_any_of(part.subject, subjects)
    return sql.SQL(_COUNT_PART).format(
        part=sql.Literal(name),
        subject=sql.Identifier(part.subject),
        columns=sql.SQL(part.columns),
        table=sql.Identifier(generation, part.table),
        where=sql.SQL(part.where),
        chosen=filtered,
    )


_COUNT_PART = """
    select {part}::text as part, {subject}::text collate "C" as subject, count(*)::bigint as rows,
           bit_xor(hash_record_extended(row({columns}), 0)) as hash
    from {table} where {where} and {chosen} group by {subject}
"""

# In the rebuilt record a parked message waits unless the live record has a replay of it after its last failure there.
_DIFFERENCES = f"""
    with different as (
        select subject, part, coalesce(l.rows, 0) as now, coalesce(n.rows, 0) as rebuilt
        from pg_temp.compared_{LIVE} l full join pg_temp.compared_{NEXT} n using (subject, part)
        where (l.rows, l.hash) is distinct from (n.rows, n.hash)
        union all
        select format('%%s/%%s/%%s', topic, partition, "offset"), 'parked', now, rebuilt
        from (
            select topic, partition, "offset", coalesce(l.waiting, false)::int as now,
                   (n.latest_offset is not null
                    and (l.replayed_offset is null or l.replayed_offset <= n.latest_offset))::int as rebuilt
            from pg_temp.parked_{LIVE} l full join pg_temp.parked_{NEXT} n using (topic, partition, "offset")
        ) as parked
        where now <> rebuilt
    )
    select subject, part, now, rebuilt, count(*) over () from different order by subject, part limit %s
"""  # noqa: S608 - no value is part of it


def _differences(connection: psycopg.Connection, limit: int) -> tuple[list[GenerationDifference], int]:
    rows = connection.execute(_DIFFERENCES.encode(), [limit]).fetchall()
    return [GenerationDifference(*row[:4]) for row in rows], rows[0][4] if rows else 0


def describe(differences: Iterable[GenerationDifference]) -> dict[str, list[str]]:
    """The differences in words, by subject and in order."""
    by_subject: dict[str, list[str]] = {}
    for difference in sorted(differences):
        counts = (
            f"{difference.now} now, {difference.rebuilt} rebuilt"
            if difference.now != difference.rebuilt
            else f"other content in {difference.now}"
        )
        by_subject.setdefault(difference.subject, []).append(f"{difference.part}: {counts}")
    return by_subject


# The tables of the record, and what is compared of each.


class ComparedPart(NamedTuple):
    """The rows of one table that are one part of the record. `subject` is the column that says who they are about."""

    table: str
    subject: str
    columns: str
    where: str = "true"


# Content as it was published, without `lastUpdated`: the broker time of the first copy that could be used. It has a
# fixed place in the content (`projector.rows.version_meta`).
_META_LENGTH = len('{"resourceType":"","id":"","meta":{' + '"versionId":"","lastUpdated":"') + 36
_HEAD = f"length(resource_type) + length(shared_id) + {_META_LENGTH}"
_CONTENT = f"substr(content, 1, {_HEAD}), substr(content, 25 + {_HEAD})"
_KEY = "event_id, rank, published_at"
PARTS: dict[str, ComparedPart] = {
    "identity": ComparedPart("person", "person_key", "system, value"),
    "events": ComparedPart("event", "message_key", "event_id, digest, published_at"),
    "visible entries": ComparedPart("current", "person_key", "shared_id, content_digest", "visible"),
    "current statements": ComparedPart(
        "current", "person_key", f"resource_type, shared_id, {_KEY}, organisation, system, operation, away, retired"
    ),
    "statements": ComparedPart(
        "statement",
        "person_key",
        f"shared_id, {_KEY}, organisation, system, local_id, operation, content_digest, {_CONTENT}",
    ),
    "whole lists": ComparedPart("whole_list", "person_key", f"organisation, system, resource_type, {_KEY}"),
    "resources owned": ComparedPart("owner", "person_key", f"resource_hash, {_KEY}"),
    "resources also claimed": ComparedPart("claimant", "person_key", "resource_hash, person_key"),
    "links": ComparedPart("patient_link", "person_key", "other_key, shared_id, event_id, kind"),
    "names": ComparedPart("patient_name", "person_key", "shared_id, event_id, birth_date, forms"),
    "local identifiers": ComparedPart(
        "patient_identifier", "person_key", "shared_id, event_id, system, value, organisation"
    ),
    "referrals": ComparedPart(
        "referral",
        "person_key",
        "referral_id, version, event_id, requester, recipient, holder, status, is_open, based_on",
    ),
    "referrals sent": ComparedPart("referral_sent", "person_key", "referral_id, version, event_id, sent_at"),
    "tasks of referrals": ComparedPart("referral_task", "person_key", "task_id, referral_id"),
    "sequence numbers": ComparedPart("sequence_seen", "person_key", "organisation, system, sequence"),
    "sequence gaps": ComparedPart("sequence_span", "person_key", "organisation, system, lowest, highest, seen"),
    "directory statements": ComparedPart(
        "directory_statement",
        "shared_id",
        f"{_KEY}, organisation, system, local_id, operation, content_digest, {_CONTENT}",
    ),
    "directory entries": ComparedPart("directory_current", "shared_id", f"resource_type, {_KEY}, operation"),
}
"""The compared parts, by name. Parked messages are compared too, in another way."""
NOT_COMPARED: dict[str, str] = {
    "position": "equal, because both are brought to the same positions before the comparison",
    "migration": "equal, or there is no takeover",
    "outbox": "carried over",
    "summary": "carried over",
    "person_state": "versions are transaction ids; the persons whose summary is due are carried over",
    "lowering": "a migrated record lacks the rows from before the migration; only reads as of a time use it",
    "whole_list_lowering": "a migrated record lacks the rows from before the migration; only reads as of a time use it",
    "referral_carried": "a migrated record lacks what referrals carried before the migration",
    "source_heard": "about no person; a rebuild may count a message from an earlier copy than the live record",
    "network_version": "a number that changes when the networks may have changed",
    "unfilled": "work that a migration has left; a rebuild has none",
}
"""The other tables, each with the reason. Every table of the record is in this or is compared."""
