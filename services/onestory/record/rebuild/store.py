"""SQL of generations of the record. Each is a PostgreSQL schema; the one named `record` is read.

The reasons are in docs/explanation/decisions/0010.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql

from onestory.shared.errors import Conflict, Misconfigured, Unavailable
from onestory.shared.kafka.consumer import Partition
from onestory.shared.kafka.reader import StoredPosition
from onestory.shared.postgres import database, outbox

LIVE = "record"
NEXT = "record_next"
FORMER = "record_before"
_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_REBUILD_LOCK = 0x4EB1

# A reader waits for a table no longer than this at a time. It is less than PostgreSQL's deadlock timeout, so PostgreSQL
# ends no reader because of a rebuild.
_LOCK_WAIT_MS = 100

# After this time PostgreSQL checks why a lock waits. It then cancels its own autovacuum, which takes minutes on a large
# table. In a deadlock it cancels the rebuild's attempt, which is tried again. Only a superuser may set this time; for
# others the attempt waits.
_DEADLOCK_CHECK_MS = 40
_PAUSE_S = 0.1
_KILLED_REBUILD_WAIT_S = 3.0


@contextmanager
def exclusive_connection(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection in autocommit mode, for the only rebuild that may run.

    Raises `Conflict` when another rebuild runs, and `Unavailable` when PostgreSQL does not answer or goes away.
    """
    with ExitStack() as closed:
        connection = closed.enter_context(closing(database.connect(dsn, LIVE)))
        connection.autocommit = True
        try:
            # The server process of a rebuild that was killed must end soon, whatever it is doing.
            connection.execute("set client_connection_check_interval = '1s'")
            if not _retry_until(time.monotonic() + _KILLED_REBUILD_WAIT_S, lambda: _try_rebuild_lock(connection)):
                raise Conflict("Another rebuild of this record is running. Nothing was changed.")
            yield connection
            connection.execute("select pg_advisory_unlock(%s)", [_REBUILD_LOCK])
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable(
                f"PostgreSQL did not answer ({type(error).__name__}). The record has not changed. Start the rebuild "
                "again: it goes on from where it was."
            ) from error


def _try_rebuild_lock(connection: psycopg.Connection) -> bool:
    row = connection.execute("select pg_try_advisory_lock(%s)", [_REBUILD_LOCK]).fetchone()
    return bool(row and row[0])


def existing_generations(connection: psycopg.Connection) -> set[str]:
    """The generations that exist, by schema name."""
    rows = connection.execute(
        "select nspname from pg_namespace where nspname = any(%s)", [[LIVE, NEXT, FORMER]]
    ).fetchall()
    return {name for (name,) in rows}


def migrations(connection: psycopg.Connection, generation: str) -> set[str]:
    """The names of the migrations that a generation has."""
    table = connection.execute("select to_regclass(%s)", [f"{generation}.migration"]).fetchone()
    if not (table and table[0]):
        return set()
    return {
        name for (name,) in connection.execute(_in_generation(generation, "select name from {}.migration")).fetchall()
    }


def positions(connection: psycopg.Connection, generation: str) -> dict[Partition, StoredPosition]:
    """The position of a generation in each partition that it has read from."""
    query = _in_generation(
        generation, "select topic, partition, next_offset, broker_time from {}.position where next_offset > 0"
    )
    return {Partition(*row[:2]): StoredPosition(*row[2:]) for row in connection.execute(query).fetchall()}


def drop(connection: psycopg.Connection, generation: str) -> None:
    """Drop a generation. The live one cannot be dropped."""
    if generation == LIVE:
        raise ValueError("the generation that is read is not dropped")
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(generation)))


def prepare(connection: psycopg.Connection, dsn: str) -> bool:
    """Create the tables of the next generation. Returns whether an earlier rebuild has written into them already.

    Tables that another release began are dropped first. Raises `Misconfigured` unless the record has this release's
    tables.
    """
    files = {path.name for path in _MIGRATIONS.glob("*.sql")}
    if LIVE not in existing_generations(connection) or migrations(connection, LIVE) != files:
        raise Misconfigured("The database is not up to date: run `onestory migrate` first.")
    exists = NEXT in existing_generations(connection)
    if exists and migrations(connection, NEXT) != files:
        drop(connection, NEXT)
        exists = False
    database.migrate(dsn, NEXT, _MIGRATIONS)
    return exists and bool(positions(connection, NEXT))


def analyze_next(connection: psycopg.Connection) -> None:
    """Collect statistics of the next generation, because queries need good plans from the first moment."""
    for table in _tables_in_lock_order(connection, NEXT):
        connection.execute(sql.SQL("analyze {}").format(sql.Identifier(NEXT, table)))


# The takeover.


def hold_writers(connection: psycopg.Connection, timeout_s: float) -> None:
    """Keep all others from writing the record, and from sending from its outbox, until this transaction ends.

    Readers go on. A projector moves the positions first, so it waits there with nothing written. Raises `Unavailable`.
    """
    connection.execute(sql.SQL("set local lock_timeout = {}").format(int(timeout_s * 1000)))
    try:
        outbox.hold(connection, LIVE)
        connection.execute(sql.SQL("lock table {} in exclusive mode").format(sql.Identifier(LIVE, "position")))
    except psycopg.errors.LockNotAvailable as error:
        raise _busy() from error
    _lock(connection, "exclusive", timeout_s)


def check_same_migrations(connection: psycopg.Connection) -> None:
    """Raises `Misconfigured` when the record was migrated after the next generation began."""
    if migrations(connection, LIVE) != migrations(connection, NEXT):
        raise Misconfigured("The record was migrated meanwhile: start the rebuild again with the new release.")


def carry(connection: psycopg.Connection, *, same_content: bool) -> None:
    """Carry into the next generation what Kafka does not have. Call this while writers are held.

    Unsent events are still sent, and sent events are not sent again. `same_content`: the generations have no
    differences.
    """
    _carry_outbox(connection)
    _carry_parked(connection)
    carry_summaries(connection, same_content=same_content)


def carry_summaries(connection: psycopg.Connection, *, same_content: bool) -> None:
    """Carry over the last published summaries, so that a summary that has not changed is not published again.

    When the generations are the same, the persons whose summary is due are carried over too. Otherwise all summaries
    become due. A call before the takeover leaves little to do while writers are held.
    """
    columns = _stored_columns(connection, "summary")
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
    if same_content:
        connection.execute(
            """update record_next.person_state n set due_since = l.due_since, changed_at = l.changed_at
               from record.person_state l
               where n.person_key = l.person_key and n.due_since is distinct from l.due_since"""
        )
    else:
        connection.execute("update record_next.person_state set due_since = now() where due_since is null")


def _carry_outbox(connection: psycopg.Connection) -> None:
    """The rebuild's own outbox rows were sent long ago, or are among those of the live record."""
    connection.execute("delete from record_next.outbox")
    connection.execute(
        """insert into record_next.outbox (topic, key, value, headers, at)
            select topic, key, value, headers, at from record.outbox order by id"""
    )


def _carry_parked(connection: psycopg.Connection) -> None:
    """Carry over when a message was first parked and last replayed, and the messages that a replay has brought in."""
    connection.execute(
        """update record_next.parked n set
                parked_at = l.parked_at, replayed_at = l.replayed_at, replayed_offset = l.replayed_offset,
                attempts = greatest(n.attempts, l.attempts)
            from record.parked l
            where (n.topic, n.partition, n."offset") = (l.topic, l.partition, l."offset")"""
    )
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in _stored_columns(connection, "parked"))
    connection.execute(
        sql.SQL(
            "insert into {next} ({columns}) select {columns} from {live} where not waiting on conflict do nothing"
        ).format(next=sql.Identifier(NEXT, "parked"), live=sql.Identifier(LIVE, "parked"), columns=columns)
    )


def _stored_columns(connection: psycopg.Connection, table: str) -> list[str]:
    """The columns of a table that are not generated."""
    rows = connection.execute(
        """select attname from pg_attribute
           where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = ''""",
        [f"{LIVE}.{table}"],
    ).fetchall()
    return [name for (name,) in rows]


def take_over(connection: psycopg.Connection, timeout_s: float) -> None:
    """Make the next generation the live record when this transaction commits, and keep the one before it.

    Readers wait too, for the moment of the renaming. A query that waited looks names up again, so no query mixes tables
    of both generations. Raises `Unavailable`.
    """
    _copy_grants(connection)
    _lock(connection, "access exclusive", timeout_s)
    for old, new in ((LIVE, FORMER), (NEXT, LIVE)):
        connection.execute(sql.SQL("alter schema {} rename to {}").format(sql.Identifier(old), sql.Identifier(new)))


# Grants belong to a schema, so the next generation needs the same ones.
_GRANTS = """
    with granted as (
        select 'schema' as kind, null as name, nspacl as acl from pg_namespace where nspname = %(live)s
        union all
        select case relkind when 'S' then 'sequence' else 'table' end, relname, relacl
        from pg_class where relnamespace = %(live)s::regnamespace
    )
    select privilege_type, kind, name, case grantee when 0 then 'public' else grantee::regrole::text end
    from granted, aclexplode(acl)
"""


def _copy_grants(connection: psycopg.Connection) -> None:
    for privilege, kind, name, grantee in connection.execute(_GRANTS, {"live": LIVE}).fetchall():
        on = sql.Identifier(NEXT, name) if name else sql.Identifier(NEXT)
        # The privilege and the role come from PostgreSQL, quoted where needed.
        connection.execute(
            sql.SQL("grant {} on {} {} to {}").format(sql.SQL(privilege), sql.SQL(kind), on, sql.SQL(grantee))
        )


def _lock(connection: psycopg.Connection, mode: str, timeout_s: float) -> None:
    names = sql.SQL(", ").join(sql.Identifier(LIVE, table) for table in _tables_in_lock_order(connection, LIVE))
    lock = sql.SQL("lock table {} in {} mode").format(names, sql.SQL(mode))
    connection.execute(sql.SQL("set local lock_timeout = {}").format(_LOCK_WAIT_MS))
    with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute(sql.SQL("set local deadlock_timeout = {}").format(_DEADLOCK_CHECK_MS))
    if not _retry_until(time.monotonic() + timeout_s, lambda: _try_lock(connection, lock)):
        raise _busy()


def _try_lock(connection: psycopg.Connection, lock: sql.Composed) -> bool:
    try:
        with connection.transaction():
            connection.execute(lock)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return False
    return True


def _retry_until(deadline: float, attempt: Callable[[], bool]) -> bool:
    while not attempt():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True


def _busy() -> Unavailable:
    return Unavailable(
        "Another session keeps the record's tables busy (a backup, a long transaction). The record has not "
        "changed. Start the rebuild again later: it goes on from here."
    )


def _tables_in_lock_order(connection: psycopg.Connection, generation: str) -> list[str]:
    """The tables in the order in which a projector locks them: `position` first."""
    rows = connection.execute(
        """select relname from pg_class where relkind in ('r', 'p') and relnamespace = %s::regnamespace
           order by relname <> 'position', relname""",
        [generation],
    ).fetchall()
    return [name for (name,) in rows]


def _in_generation(generation: str, query: str) -> sql.Composed:
    return sql.SQL(query).format(sql.Identifier(generation))
