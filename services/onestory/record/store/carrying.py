"""What a takeover carries into the next generation, because Kafka does not have it."""

from __future__ import annotations

import psycopg
from psycopg import sql

from onestory.record.store.generations import LIVE, NEXT


def carry(connection: psycopg.Connection, *, alike: bool) -> None:
    """Writers must be held. Nothing that was sent is sent again, and what waits for Kafka still does.

    `alike`: both generations say the same of everybody.
    """
    _outbox(connection)
    _parked(connection)
    carry_summaries(connection, alike=alike)


def carry_summaries(connection: psycopg.Connection, *, alike: bool) -> None:
    """What the last published summaries said, so that none is published again that says the same.

    Whose summary waits is carried too where both generations are alike; else all of them are put together anew. May be
    called before, so that little is left to do while writers are held.
    """
    columns = _written(connection, "summary")
    connection.execute(
        sql.SQL(
            """insert into record_next.summary ({columns}) select l.* from (select {columns} from record.summary) l
               left join (select {columns} from record_next.summary) n using (person_key)
               where row(l.*) is distinct from row(n.*)
               on conflict (person_key) do update set ({columns}) = row({taken})"""
        ).format(
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            taken=sql.SQL(", ").join(sql.Identifier("excluded", column) for column in columns),
        )
    )
    if alike:
        connection.execute(
            """update record_next.person_state n set due_since = l.due_since, changed_at = l.changed_at
               from record.person_state l
               where n.person_key = l.person_key and n.due_since is distinct from l.due_since"""
        )
    else:
        connection.execute("update record_next.person_state set due_since = now() where due_since is null")


def _outbox(connection: psycopg.Connection) -> None:
    """What the rebuild would have sent was sent long ago, or stands in the record's own outbox."""
    connection.execute("delete from record_next.outbox")
    connection.execute(
        """insert into record_next.outbox (topic, key, value, at)
            select topic, key, value, at from record.outbox order by id"""
    )


def _parked(connection: psycopg.Connection) -> None:
    """When it was first parked and last sent again; and what is of use since a replay, so that its trace stays."""
    connection.execute(
        """update record_next.parked n set
                parked_at = l.parked_at, replayed_at = l.replayed_at, replayed_offset = l.replayed_offset,
                attempts = greatest(n.attempts, l.attempts)
            from record.parked l
            where (n.topic, n.partition, n."offset") = (l.topic, l.partition, l."offset")"""
    )
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in _written(connection, "parked"))
    connection.execute(
        sql.SQL(
            "insert into {next} ({columns}) select {columns} from {live} where not waiting on conflict do nothing"
        ).format(next=sql.Identifier(NEXT, "parked"), live=sql.Identifier(LIVE, "parked"), columns=columns)
    )


def _written(connection: psycopg.Connection, table: str) -> list[str]:
    """The columns of a table that are not computed."""
    rows = connection.execute(
        """select attname from pg_attribute
           where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = ''""",
        [f"{LIVE}.{table}"],
    ).fetchall()
    return [name for (name,) in rows]
