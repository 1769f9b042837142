"""Two generations, compared person by person, in a few statements over whole tables.

For each subject and part there is the number of rows and a hash over them. What follows from clocks and offsets, from
the size of batches, or from replays of messages that a later release can use at once, is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import psycopg
from psycopg import sql

from onestory.record.rebuild.store import LIVE, NEXT, positions
from onestory.shared.kafka.consumer import Partition
from onestory.shared.kafka.reader import StoredPosition

# What two generations of the record do not agree on: whom it is about, and how much each has; never what it says.


class GenerationDifference(NamedTuple):
    """One part of what is kept of one subject. `now` and `rebuilt` count what each generation has of it.

    The subject is a person key, the id of a directory resource, or the place in Kafka of a parked message.
    """

    subject: str
    part: str
    now: int
    rebuilt: int


def described(differences: Iterable[GenerationDifference]) -> dict[str, list[str]]:
    """By subject, in order, what differs, in words."""
    found: dict[str, list[str]] = {}
    for each in sorted(differences):
        counts = (
            f"{each.now} now, {each.rebuilt} rebuilt" if each.now != each.rebuilt else f"other content in {each.now}"
        )
        found.setdefault(each.subject, []).append(f"{each.part}: {counts}")
    return found


class Part(NamedTuple):
    """Rows of a table that make up a part of the record; `subject` is the column that says whom they are about."""

    table: str
    subject: str
    columns: str
    where: str = "true"


# Content as it was published: without lastUpdated, which stands at a fixed place (domain/content.py) and is the time at
# which Kafka had the first copy that could be used.
_BEFORE = len('{"resourceType":"","id":"","meta":{' + '"versionId":"","lastUpdated":"') + 36
_HEAD = f"length(resource_type) + length(shared_id) + {_BEFORE}"
_CONTENT = f"substr(content, 1, {_HEAD}), substr(content, 25 + {_HEAD})"
_KEY = "event_id, rank, published_at"

PARTS: dict[str, Part] = {
    "identity": Part("person", "person_key", "system, value"),
    "events": Part("event", "message_key", "event_id, digest, published_at"),
    "visible entries": Part("current", "person_key", "shared_id, content_digest", "visible"),
    "standing statements": Part(
        "current", "person_key", f"resource_type, shared_id, {_KEY}, organisation, system, operation, away, retired"
    ),
    "statements": Part(
        "statement",
        "person_key",
        f"shared_id, {_KEY}, organisation, system, local_id, operation, content_digest, {_CONTENT}",
    ),
    "whole lists": Part("whole_list", "person_key", f"organisation, system, resource_type, {_KEY}"),
    "resources owned": Part("owner", "person_key", f"resource_hash, {_KEY}"),
    "resources also claimed": Part("claimant", "person_key", "resource_hash, person_key"),
    "links": Part("patient_link", "person_key", "other_key, shared_id, event_id, kind"),
    "names": Part("patient_name", "person_key", "shared_id, event_id, birth_date, forms"),
    "local identifiers": Part("patient_identifier", "person_key", "shared_id, event_id, system, value, organisation"),
    "referrals": Part(
        "referral", "person_key", "referral_id, version, event_id, requester, recipient, holder, status, is_open"
    ),
    "referrals sent": Part("referral_sent", "person_key", "referral_id, version, event_id, sent_at"),
    "tasks of referrals": Part("referral_task", "person_key", "task_id, referral_id"),
    "sequence numbers": Part("sequence_seen", "person_key", "organisation, system, sequence"),
    "sequence gaps": Part("sequence_span", "person_key", "organisation, system, lowest, highest, seen"),
    "directory statements": Part(
        "directory_statement",
        "shared_id",
        f"{_KEY}, organisation, system, local_id, operation, content_digest, {_CONTENT}",
    ),
    "directory entries": Part("directory_current", "shared_id", f"resource_type, {_KEY}, operation"),
}
"""What is compared, beside what is parked."""

NOT_COMPARED: dict[str, str] = {
    "position": "both are brought to the same positions before anything is compared",
    "migration": "both are made by the same files, or there is no takeover",
    "outbox": "carried over",
    "summary": "carried over",
    "person_state": "versions are ids of transactions; whose summary waits is carried over",
    "lowering": "a record that was migrated lacks those of before; as-of alone reads it",
    "whole_list_lowering": "a record that was migrated lacks those of before; as-of alone reads it",
    "source_heard": "about nobody; a replay that is of use at once may have been heard earlier",
    "unfilled": "what a migration has left to do, and a rebuild has not",
}
"""The other tables, and why not. Every table is in one of both."""

_COUNTED = """
    select {part}::text as part, {subject}::text collate "C" as subject, count(*)::bigint as rows,
           bit_xor(hash_record_extended(row({columns}), 0)) as hash
    from {table} where {where} and {chosen} group by {subject}
"""


def photograph(connection: psycopg.Connection) -> dict[Partition, StoredPosition]:
    """Note what the record says of everybody at one moment; the positions of that moment."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        _note(connection, LIVE, None)
        return positions(connection, LIVE)


def differences(connection: psycopg.Connection, most: int) -> tuple[list[GenerationDifference], int]:
    """Where the next generation says otherwise than what was noted: the first ones, and how many there are."""
    with connection.transaction():
        _note(connection, NEXT, None)
    return _different(connection, most)


def differences_of(
    connection: psycopg.Connection, subjects: Collection[str], most: int
) -> tuple[list[GenerationDifference], int]:
    """The same for a few subjects, and those who ever had a resource of theirs, as both generations are now."""
    rows = connection.execute(
        sql.SQL(
            """select other.person_key from {claimant} theirs join {claimant} other using (resource_hash)
               where theirs.person_key = any(%s)"""
        ).format(claimant=sql.Identifier(LIVE, "claimant")),
        [list(subjects)],
    ).fetchall()
    chosen = sorted({*subjects, *[key for (key,) in rows]})
    for generation in (LIVE, NEXT):
        _note(connection, generation, chosen)
    return _different(connection, most)


def _note(connection: psycopg.Connection, generation: str, chosen: Collection[str] | None) -> None:
    table = sql.Identifier(f"compared_{generation}")
    counted = sql.SQL(" union all ").join(_counted(generation, name, part, chosen) for name, part in PARTS.items())
    connection.execute("set local work_mem = '64MB'")
    connection.execute(sql.SQL("drop table if exists pg_temp.{}").format(table))
    connection.execute(sql.SQL("create temp table {} as {}").format(table, counted))
    parked = sql.Identifier(f"parked_{generation}")
    connection.execute(sql.SQL("drop table if exists pg_temp.{}").format(parked))
    connection.execute(
        sql.SQL(
            """create temp table {} as
               select topic, partition, "offset", latest_offset, replayed_offset, waiting from {}"""
        ).format(parked, sql.Identifier(generation, "parked"))
    )


def _counted(generation: str, name: str, part: Part, chosen: Collection[str] | None) -> sql.Composed:
    def among(column: str, keys: Collection[str]) -> sql.Composed:
        return sql.SQL("{} = any({})").format(sql.Identifier(column), sql.Literal(list(keys)))

    if chosen is None:
        filtered: sql.Composable = sql.SQL("true")
    elif part.table == "owner":
        # It has no index by person.
        filtered = sql.SQL("resource_hash in (select substr(shared_id, 28) from {} where {})").format(
            sql.Identifier(generation, "current"), among("person_key", chosen)
        )
    else:
        filtered = among(part.subject, chosen)
    return sql.SQL(_COUNTED).format(
        part=sql.Literal(name),
        subject=sql.Identifier(part.subject),
        columns=sql.SQL(part.columns),
        table=sql.Identifier(generation, part.table),
        where=sql.SQL(part.where),
        chosen=filtered,
    )


# A message waits in the rebuilt record when no replay that the live one knows of comes after its last failure there.
_DIFFERENT = f"""
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


def _different(connection: psycopg.Connection, most: int) -> tuple[list[GenerationDifference], int]:
    rows = connection.execute(_DIFFERENT.encode(), [most]).fetchall()
    return [GenerationDifference(*row[:4]) for row in rows], rows[0][4] if rows else 0
