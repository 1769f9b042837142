"""The clock of the referrals with 100,000 open ones: the cost of a tick, and of an escalation."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from prometheus_client import CollectorRegistry
from tests.bench.figures import Figure, percentile
from tests.people import new_nhs_number
from tests.stack import Services

import onestory.referral
from onestory.referral.clocks import clock as clocks_clock
from onestory.referral.clocks import store as clocks_store
from onestory.referral.clocks.api import BreachList
from onestory.referral.clocks.clock import Escalator
from onestory.referral.lifecycle.creation import parse_service_request
from onestory.referral.lifecycle.handler import CommandRequest, ReferralHandler
from onestory.referral.worklist.service import Worklists
from onestory.shared import logs
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import create_codec
from onestory.shared.policy import Caller
from onestory.shared.postgres import database as postgres_database
from onestory.shared.postgres.database import Database, create_pool

_OPEN = 100_000
_LATE = 2_000
_TIMES = 200
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_CALLER = Caller("A81001", "bench", "bench", "R8000", "", "TREAT")


async def run(services: Services) -> list[Figure]:
    """Measure milliseconds for each tick, and escalations per second, in a separate database."""
    dsn = _database(services.postgres)
    logs.configure("warning", "json")
    async with create_pool(dsn, "record") as pool:
        database, keys = Database(pool), Keys(b"a secret for tests, long enough!")
        handler = ReferralHandler(database, create_codec(""), keys, clocks_clock.load_clocks())
        await handler.create(CommandRequest(_CALLER, str(uuid.uuid4())), parse_service_request(_request()))
        _multiply(dsn)
        clock = Escalator(database, handler, None, CollectorRegistry())
        looking = await _milliseconds(clock.tick)
        raw = await _milliseconds(lambda: database.fetchval("select 1"))
        _make_late(dsn)
        started = time.perf_counter()
        done = await clock.tick()
        rate = done / (time.perf_counter() - started)
        breaches = BreachList(database, Worklists(database))
        scope = await breaches.scope(_CALLER, "")
        lists = await _milliseconds(lambda: breaches.page(scope, "", _EVER, None, 50))
    with postgres_database.connect(dsn, "referral") as connection:
        started = time.perf_counter()
        clocks_store.overdue_figures(connection, datetime.now(UTC))
        figures_ms = (time.perf_counter() - started) * 1000
    named = f"with {_OPEN:,} open referrals"
    bare = "a query that asks for nothing"
    return [
        Figure("clock", f"a tick that finds nothing, {named}, p50", percentile(looking, 0.5), "ms"),
        Figure("clock", f"the same, p99 (p50 of {bare}: {percentile(raw, 0.5):.2f})", percentile(looking, 0.99), "ms"),
        Figure("clock", f"{done:,} that are late, escalated {named}", rate, "referrals/s"),
        Figure("clock", f"the breach list, a page of 50 of {done:,}, p50", percentile(lists, 0.5), "ms"),
        Figure("clock", "the same, p99", percentile(lists, 0.99), "ms"),
        Figure("clock", f"its metrics with {done:,} that are late", figures_ms, "ms"),
    ]


def _database(beside: str) -> str:
    name = f"onestory_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(beside, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    dsn = beside.rpartition("/")[0] + "/" + name
    postgres_database.migrate(dsn, "referral", Path(onestory.referral.__file__).parent / "migrations")
    with psycopg.connect(dsn) as connection:
        connection.execute(
            """insert into referral.directory_team (shared_id, said_by, ods, organisation_id, name, kind, network,
                   dos_service_id, practices, escalation_name, escalation_phone, escalation_email, active)
               values ('physio', 'RX1', 'RX1', '', 'Physiotherapy', '', '', '', '{}', 'Ward manager', '', '', true)"""
        )
    return dsn


def _request() -> dict[str, object]:
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{new_nhs_number()}"},
        "performer": [{"reference": "HealthcareService/physio"}],
    }


def _multiply(dsn: str) -> None:
    """Copy the existing referral for other people until 100,000 are open, each due some time from now."""
    with psycopg.connect(dsn) as connection:
        for table in ("resource", "referral"):
            columns = [
                name
                for (name,) in connection.execute(
                    """select column_name from information_schema.columns
                       where table_schema = 'referral' and table_name = %s and is_generated = 'NEVER'""",
                    [table],
                )
            ]
            told = {
                "person_key": "k.key",
                "due_at": "due_at + random() * interval '30 days'",
                **{name: f"replace({name}, person_key, k.key)" for name in ("referral_id", "task_id", "shared_id")},
            }
            connection.execute(
                f"""with k as (
                        select left(translate(md5(n::text), '0189', 'ghij'), length(person_key)) as key
                        from generate_series(1, %s) as n, (select person_key from referral.referral limit 1) as first
                    )
                    insert into referral.{table} ({", ".join(columns)})
                    select {", ".join(told.get(name, name) for name in columns)} from referral.{table}, k""".encode(),  # noqa: S608
                [_OPEN],
            )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("vacuum analyze")


def _make_late(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            """update referral.referral set due_at = now() - random() * interval '1 day'
               where referral_id in (select referral_id from referral.referral limit %s)""",
            [_LATE],
        )


async def _milliseconds(do: Callable[[], Awaitable[object]]) -> list[float]:
    taken = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        await do()
        taken.append((time.perf_counter() - started) * 1000)
    return taken
