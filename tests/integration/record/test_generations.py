"""Queries during a takeover see one generation whole, never a mix of two. After it they see the new generation."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import LiteralString

import asyncpg
import psycopg
import pytest
from psycopg import sql
from tests.integration.record.record import Record
from tests.integration.record.statements import Said, arrivals, person, statement
from tests.waiting import until

import onestory.record
from onestory.record.projector import main as projector_main
from onestory.record.rebuild import comparison
from onestory.record.rebuild import store as rebuild_store
from onestory.record.rebuild.store import FORMER, LIVE, NEXT
from onestory.shared.errors import Conflict, Misconfigured, Unavailable
from onestory.shared.events import Source
from onestory.shared.identity import Keys
from onestory.shared.kafka import reader as kafka_reader
from onestory.shared.postgres import database as postgres_database
from onestory.shared.postgres.database import create_pool

MIGRATIONS = Path(onestory.record.__file__).parent / "migrations"
ASKED = """
    select current.system as stands, statement.system as said,
           (select system from record.known_resource where person_key = $1 limit 1) as known
    from current join statement using (person_key, shared_id, event_id)
    where current.person_key = $1
"""
KEYS, AMINA = Keys(b"a secret for tests, long enough!"), person(1)
TAKEOVERS = 12
PATIENT = 30.0


@pytest.fixture
def dsn(database: str) -> str:
    """A record whose rows name their generation."""
    postgres_database.migrate(database, LIVE, MIGRATIONS)
    fill(database, LIVE, 0)
    return database


def test_a_query_sees_one_generation_whole_and_prepared_ones_see_the_new_one(dsn: str) -> None:
    async def story() -> None:
        unprepared = asyncpg.create_pool(
            dsn, statement_cache_size=0, min_size=4, max_size=4, server_settings={"search_path": LIVE}
        )
        async with create_pool(dsn, "record") as prepared, unprepared:
            asking = [Asking(pool) for pool in (prepared, unprepared) for _ in range(4)]
            async with asyncio.TaskGroup() as tasks:
                for each in asking:
                    tasks.create_task(each.ask())
                for number in range(1, TAKEOVERS + 1):
                    await asyncio.to_thread(take_over, dsn, number)
                for each in asking:
                    each.over = True
        for each in asking:
            assert len(set(each.seen)) > 2, "it did not ask meanwhile"
            assert each.seen == sorted(each.seen), "an earlier generation was seen again"
            assert each.seen[-1] == TAKEOVERS

    asyncio.run(story())


def test_a_projector_under_way_writes_all_of_its_batch_or_waits_with_all_of_it(dsn: str) -> None:
    with psycopg.connect(dsn, options=f"-c search_path={LIVE}") as projector, ThreadPoolExecutor(1) as threads:
        for table in ("current", "statement"):
            # Repeated executions make the projector's connection prepare the statements and keep their plans.
            for _ in range(10):
                projector.execute(WRITE[table], ["before"])
        projector.commit()
        projector.execute(WRITE["current"], ["under way"])
        taking = threads.submit(take_over, dsn, 1)
        until(lambda: _waits(dsn))
        projector.execute(WRITE["statement"], ["under way"])
        projector.commit()
        taking.result(timeout=60)

        for table in ("current", "statement"):
            projector.execute(WRITE[table], ["afterwards"])
        projector.commit()

        assert _values(projector, FORMER) == ("under way", "under way")
        assert _values(projector, LIVE) == ("afterwards", "afterwards")


def test_somebody_who_keeps_the_tables_busy_puts_a_takeover_off_and_nothing_has_changed(dsn: str) -> None:
    prepare_next(dsn, 1)
    with psycopg.connect(dsn) as reader, rebuild_store.exclusive_connection(dsn) as alone:
        reader.execute("select from record.current")

        with pytest.raises(Unavailable, match="keeps the record's tables busy"):
            replace(alone, 0.3)

        assert reader.execute("select system from record.current").fetchall() == [("0",)]
        assert rebuild_store.existing_generations(alone) == {LIVE, NEXT}


def test_what_other_roles_may_do_they_may_do_after_a_takeover(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("drop role if exists onestory_test_reader")
        owner.execute("create role onestory_test_reader")
        owner.execute("grant usage on schema record to onestory_test_reader")
        owner.execute("grant select on record.visible_position to onestory_test_reader")
        try:
            take_over(dsn, 1)

            owner.execute("set role onestory_test_reader")
            assert owner.execute("select from record.visible_position").fetchall() == []
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute("select from record.current")
        finally:
            owner.execute("reset role")
            owner.execute("drop owned by onestory_test_reader")
            owner.execute("drop role onestory_test_reader")


def test_nothing_of_the_next_generation_is_made_of_the_live_one(dsn: str) -> None:
    prepare_next(dsn, 1)
    with psycopg.connect(dsn) as connected:
        made_of = connected.execute(
            """select distinct dependent.relname, source.relname
               from pg_depend d
               join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
               join pg_class dependent on dependent.oid = r.ev_class
               join pg_class source on d.refclassid = 'pg_class'::regclass and source.oid = d.refobjid
               where dependent.relnamespace <> source.relnamespace
                 and 'pg_catalog'::regnamespace not in (dependent.relnamespace, source.relnamespace)"""
        ).fetchall()
        named = connected.execute(
            """select proname from pg_proc where pronamespace = %s::regnamespace and prosrc ~ 'record\\.'""", [NEXT]
        ).fetchall()

    assert (made_of, named) == ([], [])


def test_every_table_is_compared_or_said_why_not(dsn: str) -> None:
    with psycopg.connect(dsn) as connected:
        rows = connected.execute("select tablename from pg_tables where schemaname = %s", [LIVE]).fetchall()

    compared = {part.table for part in comparison.PARTS.values()} | {"parked"}
    assert compared.isdisjoint(comparison.NOT_COMPARED)
    assert {name for (name,) in rows} == compared | comparison.NOT_COMPARED.keys()


def test_a_record_without_this_release_s_tables_is_told(database: str) -> None:
    with (
        rebuild_store.exclusive_connection(database) as alone,
        pytest.raises(Misconfigured, match="run `onestory migrate` first"),
    ):
        rebuild_store.prepare(alone, database)


def test_a_half_built_generation_of_another_release_is_begun_anew(dsn: str) -> None:
    prepare_next(dsn, 1)
    with rebuild_store.exclusive_connection(dsn) as alone:
        alone.execute("insert into record_next.position values ('care.record', 0, 5, now())")
        assert rebuild_store.prepare(alone, dsn)
        alone.execute("delete from record_next.migration where name ~ '^0003'")

        assert not rebuild_store.prepare(alone, dsn)

        assert rebuild_store.positions(alone, NEXT) == {}


def test_there_is_one_rebuild_at_a_time(dsn: str) -> None:
    with rebuild_store.exclusive_connection(dsn), pytest.raises(Conflict), rebuild_store.exclusive_connection(dsn):
        pass
    with rebuild_store.exclusive_connection(dsn):
        pass


class Asking:
    """Repeats one query on a connection and collects the generations that it saw."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.seen: list[int] = []
        self.over = False

    async def ask(self) -> None:
        last = False
        while not last:
            last = self.over
            (row,) = await self._pool.fetch(ASKED, KEYS.person_key(AMINA))
            assert row["stands"] == row["said"] == row["known"], "a query saw some of each generation"
            self.seen.append(int(row["said"]))


def take_over(dsn: str, number: int) -> None:
    """Put a generation into place whose rows have this number."""
    prepare_next(dsn, number)
    with rebuild_store.exclusive_connection(dsn) as alone:
        rebuild_store.drop(alone, FORMER)
        replace(alone, PATIENT)


def replace(alone: psycopg.Connection, patience_s: float) -> None:
    with alone.transaction():
        rebuild_store.hold_writers(alone, patience_s)
        rebuild_store.take_over(alone, patience_s)


def prepare_next(dsn: str, number: int) -> None:
    with rebuild_store.exclusive_connection(dsn) as alone:
        rebuild_store.prepare(alone, dsn)
    fill(dsn, NEXT, number)


def fill(dsn: str, generation: str, number: int) -> None:
    """Project one resource of one person into this generation."""
    said = statement(KEYS, 1, AMINA, [Said("Condition", "a", '"n":1', 1)], source=Source("A81001", str(number)))
    projector = Record(dsn).projector(KEYS)
    with (
        projector_main.connect_projector(dsn, KEYS, generation) as connected,
        kafka_reader.transaction(connected) as transaction,
    ):
        projector.write(transaction, projector.prepare(arrivals(KEYS, [said])))()


def _waits(dsn: str) -> bool:
    with psycopg.connect(dsn) as connected:
        return connected.execute("select 1 from pg_locks where not granted").fetchone() is not None


def _values(connected: psycopg.Connection, generation: str) -> tuple[str, ...]:
    query = sql.SQL("select c.system, s.system from {} c, {} s").format(
        sql.Identifier(generation, "current"), sql.Identifier(generation, "statement")
    )
    (row,) = connected.execute(query).fetchall()
    return row


WRITE: dict[str, LiteralString] = {
    "current": "update current set system = %s",
    "statement": "update statement set system = %s",
}
