"""Generations of the record: each is a schema, and the name decides which one is read (docs/decisions/0010)."""

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
_ONE_REBUILD = 0x4EB1
# A reader that waits for a table has to wait no longer than this at a time: less than what PostgreSQL waits before it
# ends somebody in favour of somebody else, so nobody is ended.
_PATIENCE_MS = 100
# By then we look for whom we wait: PostgreSQL ends its own vacuuming in favour of us, which takes minutes on a large
# table. Of a deadlock it is we who are ended, and we try again. Only a superuser may ask for it; anybody else waits.
_LOOK_AFTER_MS = 40
_PAUSE_S = 0.1
_KILLED_GOES_S = 3.0


@contextmanager
def alone(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection of the only rebuild there is, outside of transactions.

    Raises `Conflict` when there is another one; `Unavailable` when PostgreSQL does not answer, or goes away within.
    """
    with ExitStack() as closed:
        connection = closed.enter_context(closing(database.connect(dsn, LIVE)))
        connection.autocommit = True
        try:
            # What is left in the server of a rebuild that was killed is to end soon, whatever it was doing there.
            connection.execute("set client_connection_check_interval = '1s'")
            if not _tried_until(time.monotonic() + _KILLED_GOES_S, lambda: _is_ours(connection)):
                raise Conflict("Another rebuild of this record is running. Nothing was changed.")
            yield connection
            connection.execute("select pg_advisory_unlock(%s)", [_ONE_REBUILD])
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable(
                f"PostgreSQL did not answer ({type(error).__name__}). The record is as it was; started again, "
                "the rebuild goes on from where it was."
            ) from error


def there(connection: psycopg.Connection) -> set[str]:
    """Which generations there are."""
    rows = connection.execute(
        "select nspname from pg_namespace where nspname = any(%s)", [[LIVE, NEXT, FORMER]]
    ).fetchall()
    return {name for (name,) in rows}


def drop(connection: psycopg.Connection, generation: str) -> None:
    """Forget a generation, unless it is the one that is read."""
    if generation == LIVE:
        raise ValueError("the generation that is read is not dropped")
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(generation)))


def prepare(connection: psycopg.Connection, dsn: str) -> bool:
    """Have the tables of the next generation; whether it goes on from a half-built one.

    One that another release began is forgotten. Raises `Misconfigured` unless the record has this release's tables.
    """
    files = {path.name for path in _MIGRATIONS.glob("*.sql")}
    if LIVE not in there(connection) or migrations(connection, LIVE) != files:
        raise Misconfigured("The database is not up to date: run `onestory migrate` first.")
    found = NEXT in there(connection)
    if found and migrations(connection, NEXT) != files:
        drop(connection, NEXT)
        found = False
    database.migrate(dsn, NEXT, _MIGRATIONS)
    return found and bool(positions(connection, NEXT))


def migrations(connection: psycopg.Connection, generation: str) -> set[str]:
    """The files that made its tables."""
    table = connection.execute("select to_regclass(%s)", [f"{generation}.migration"]).fetchone()
    if not (table and table[0]):
        return set()
    return {name for (name,) in connection.execute(_in(generation, "select name from {}.migration")).fetchall()}


def positions(connection: psycopg.Connection, generation: str) -> dict[Partition, StoredPosition]:
    """Where a generation stands in each partition of which it has read anything."""
    query = _in(generation, "select topic, partition, next_offset, broker_time from {}.position where next_offset > 0")
    return {Partition(*row[:2]): StoredPosition(*row[2:]) for row in connection.execute(query).fetchall()}


def let_planner_know(connection: psycopg.Connection) -> None:
    """Statistics of the next generation: it is read at once, and nobody plans well without."""
    for table in _tables(connection, NEXT):
        connection.execute(sql.SQL("analyze {}").format(sql.Identifier(NEXT, table)))


def hold_writers(connection: psycopg.Connection, give_up_after_s: float) -> None:
    """Nobody else writes the record until this transaction ends, or sends from its outbox; everybody reads.

    Whoever projects moves the positions first, so it waits there, with nothing written. Raises `Unavailable`.
    """
    connection.execute(sql.SQL("set local lock_timeout = {}").format(int(give_up_after_s * 1000)))
    try:
        outbox.hold(connection, LIVE)
        connection.execute(sql.SQL("lock table {} in exclusive mode").format(sql.Identifier(LIVE, "position")))
    except psycopg.errors.LockNotAvailable as error:
        raise _busy() from error
    _lock(connection, "exclusive", give_up_after_s)


def check_alike(connection: psycopg.Connection) -> None:
    """Raises `Misconfigured` when the record got other tables since the next generation began."""
    if migrations(connection, LIVE) != migrations(connection, NEXT):
        raise Misconfigured("The record was migrated meanwhile: start the rebuild again with the new release.")


def take_over(connection: psycopg.Connection, give_up_after_s: float) -> None:
    """Let the next generation be the record when this transaction commits, and keep the one before it.

    For the moment of it readers wait too. Names are looked up anew by whoever waited, so that no query finds one table
    here and one there. Raises `Unavailable`.
    """
    _grant_alike(connection)
    _lock(connection, "access exclusive", give_up_after_s)
    for old, new in ((LIVE, FORMER), (NEXT, LIVE)):
        connection.execute(sql.SQL("alter schema {} rename to {}").format(sql.Identifier(old), sql.Identifier(new)))


def _lock(connection: psycopg.Connection, mode: str, give_up_after_s: float) -> None:
    names = sql.SQL(", ").join(sql.Identifier(LIVE, table) for table in _tables(connection, LIVE))
    lock = sql.SQL("lock table {} in {} mode").format(names, sql.SQL(mode))
    connection.execute(sql.SQL("set local lock_timeout = {}").format(_PATIENCE_MS))
    with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute(sql.SQL("set local deadlock_timeout = {}").format(_LOOK_AFTER_MS))
    if not _tried_until(time.monotonic() + give_up_after_s, lambda: _locked(connection, lock)):
        raise _busy()


def _busy() -> Unavailable:
    return Unavailable(
        "Somebody keeps the record's tables busy (a backup, a long transaction). The record is as it was; start the "
        "rebuild again later, it goes on from here."
    )


def _is_ours(connection: psycopg.Connection) -> bool:
    row = connection.execute("select pg_try_advisory_lock(%s)", [_ONE_REBUILD]).fetchone()
    return bool(row and row[0])


def _locked(connection: psycopg.Connection, lock: sql.Composed) -> bool:
    try:
        with connection.transaction():
            connection.execute(lock)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return False
    return True


def _tried_until(deadline: float, attempt: Callable[[], bool]) -> bool:
    while not attempt():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True


def _tables(connection: psycopg.Connection, generation: str) -> list[str]:
    """In the order in which a projector takes them: the positions first."""
    rows = connection.execute(
        """select relname from pg_class where relkind in ('r', 'p') and relnamespace = %s::regnamespace
           order by relname <> 'position', relname""",
        [generation],
    ).fetchall()
    return [name for (name,) in rows]


# What other roles may do goes by the name of the schema, so the next generation has to allow it too.
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


def _grant_alike(connection: psycopg.Connection) -> None:
    for privilege, kind, name, grantee in connection.execute(_GRANTS, {"live": LIVE}).fetchall():
        on = sql.Identifier(NEXT, name) if name else sql.Identifier(NEXT)
        # PostgreSQL has written privilege and role itself, quoted where need be.
        connection.execute(
            sql.SQL("grant {} on {} {} to {}").format(sql.SQL(privilege), sql.SQL(kind), on, sql.SQL(grantee))
        )


def _in(generation: str, query: str) -> sql.Composed:
    return sql.SQL(query).format(sql.Identifier(generation))


# What a takeover carries into the next generation, because Kafka does not have it.


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
