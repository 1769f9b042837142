"""An overdue referral is escalated once for each wait, also with several clocks and with clocks that are killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from tests.people import new_nhs_number
from tests.stack import Stack

import onestory.referral
from onestory.referral.clocks import clock as clocks_clock
from onestory.referral.clocks.clock import Escalator, OverdueGauges
from onestory.referral.lifecycle.creation import parse_service_request
from onestory.referral.lifecycle.handler import CommandRequest, ReferralHandler
from onestory.referral.lifecycle.model import Referral
from onestory.shared.events import Notice, Party, ReferralChanged
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import create_codec
from onestory.shared.policy import Caller
from onestory.shared.postgres import database as postgres_database
from onestory.shared.postgres.database import Database, create_pool

KEYS = Keys(b"a secret for tests, long enough!")
TEAM, PLAIN_TEAM = "physio", "pain"
DESK = Party("RX9", "desk")
SURGERY = Caller("A81001", "emis", "gp-1", "R8000", "", "TREAT")
FUTURE = datetime(2040, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> str:
    dsn = stack.fresh_database()
    postgres_database.migrate(dsn, "referral", Path(onestory.referral.__file__).parent / "migrations")
    with psycopg.connect(dsn) as connection:
        for team_id, contact in ((TEAM, "Ward manager"), (PLAIN_TEAM, "")):
            connection.execute(
                """insert into referral.directory_team (shared_id, said_by, ods, organisation_id, name, kind, network,
                       dos_service_id, practices, escalation_name, escalation_phone, escalation_email, active)
                   values (%s, 'RX1', 'RX1', '', %s, '', '', '', '{}', %s, '', '', true)""",
                [team_id, team_id, contact],
            )
    return dsn


@pytest.fixture
def room(dsn: str) -> Room:
    room = Room(dsn)
    room.do("truncate referral.referral, referral.change, referral.resource, referral.outbox")
    return room


class Room:
    """The referrals of one database."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.registry = CollectorRegistry()

    @asynccontextmanager
    async def open(self, now: datetime | None = None) -> AsyncIterator[tuple[ReferralHandler, Escalator]]:
        """Open a handler and a clock. Both use `now` as the current time."""
        async with create_pool(self.dsn, "record") as pool:
            database = Database(pool)
            moment = now or datetime.now(UTC)
            handler = ReferralHandler(database, create_codec(""), KEYS, clocks_clock.load_clocks(), lambda: moment)
            yield handler, Escalator(database, handler, DESK, CollectorRegistry(), lambda: moment)

    def refer(self, *teams: str, priority: str = "urgent") -> list[Referral]:
        """A referral to each of these teams, each of another person."""

        async def send() -> list[Referral]:
            async with self.open() as (handler, _):
                requests = [parse_service_request(request(team) | {"priority": priority}) for team in teams]
                return [(await handler.create(CommandRequest(SURGERY, "c"), each)).referral for each in requests]

        return asyncio.run(send())

    def tick(self, now: datetime) -> int:
        """Return how many referrals a clock escalates at this time."""

        async def look() -> int:
            async with self.open(now) as (_, clock):
                return await clock.tick()

        return asyncio.run(look())

    def sent(self, action: str = "escalate") -> list[ReferralChanged]:
        """Return the events of this action in the outbox, in order."""
        events = [
            create_codec("").decode(value) for (value,) in self.rows("select value from referral.outbox order by id")
        ]
        return [each for each in events if isinstance(each, ReferralChanged) and each.action == action]

    def rows(self, query: str, *values: object) -> list[Any]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def do(self, command: str, *values: object) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(command.encode(), values)

    def metrics(self) -> dict[str, float]:
        """Return the values of the overdue gauges, by metric name."""
        registry = CollectorRegistry()
        OverdueGauges(lambda: postgres_database.connect(self.dsn, "referral"), registry)
        return {family.name: family.samples[0].value for family in registry.collect()}


def request(team: str) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{new_nhs_number()}"},
        "performer": [{"reference": f"HealthcareService/{team}"}],
    }


def due(referral: Referral) -> datetime:
    assert referral.due_at is not None
    return referral.due_at


def test_nothing_happens_before_the_time_is_over(room: Room) -> None:
    (referral,) = room.refer(TEAM)

    assert room.tick(due(referral) - timedelta(microseconds=1)) == 0
    assert room.sent() == []


def test_what_is_overdue_is_escalated_once_and_named_contacts_are_told(room: Room) -> None:
    with_contact, without = room.refer(TEAM, PLAIN_TEAM)

    assert [room.tick(due(without)), room.tick(FUTURE), room.tick(FUTURE)] == [2, 0, 0]

    told = {each.referral_id: each for each in room.sent()}
    assert Notice("escalation", Party("RX1", TEAM), "referral-overdue") in told[with_contact.referral_id].notices
    assert Notice("escalation", DESK, "referral-overdue") in told[without.referral_id].notices
    assert {(each.version, each.status, each.actor.subject, each.due_at) for each in told.values()} == {
        (2, "requested", "clock", due(with_contact)),
        (2, "requested", "clock", due(without)),
    }


def test_many_pages_are_escalated_in_one_tick_and_one_that_fails_keeps_nobody_waiting(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onestory.referral.clocks.clock._PAGE", 2)
    first, *_ = room.refer(*[TEAM] * 5)
    room.do("delete from referral.resource where referral_id = %s", first.referral_id)

    assert room.tick(FUTURE) == 4
    assert len(room.sent()) == 4


def test_what_is_most_urgent_is_escalated_first_however_many_wait(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onestory.referral.clocks.clock._PAGE", 2)
    room.refer(*[TEAM] * 5, priority="routine")
    (urgent,) = room.refer(TEAM, priority="urgent")
    (at_once,) = room.refer(TEAM, priority="stat")
    room.do("update referral.referral set due_at = now() - interval '1 day' where priority = 'routine'")

    room.tick(FUTURE)

    assert [each.referral_id for each in room.sent()][:2] == [at_once.referral_id, urgent.referral_id]


def test_several_clocks_that_look_at_the_same_time_escalate_once(room: Room) -> None:
    referrals = room.refer(*[TEAM] * 20)

    async def look() -> list[int]:
        async with room.open(FUTURE) as (_, one), room.open(FUTURE) as (_, other), room.open(FUTURE) as (_, third):
            return await asyncio.gather(*[clock.tick() for clock in (one, other, third)])

    assert sum(asyncio.run(look())) == 20
    assert sorted(each.referral_id for each in room.sent()) == sorted(each.referral_id for each in referrals)


def test_a_clock_that_is_killed_and_started_again_escalates_once(room: Room) -> None:
    room.refer(*[TEAM] * 60)
    room.do("update referral.referral set due_at = now() - interval '1 minute'")

    for least in (1, 20, 40):
        with clock_process(room):
            wait_until(lambda least=least: len(room.sent()) >= least)
    with clock_process(room):
        wait_until(lambda: room.metrics()["onestory_referrals_overdue_untold"] == 0)

    versions = room.rows("select referral_id, version from referral.change where action = 'escalate'")
    assert len(versions) == 60
    assert {version for _, version in versions} == {2}
    assert sorted(each.referral_id for each in room.sent()) == sorted(each for each, _ in versions)


def test_operators_see_what_is_overdue_until_somebody_acts(room: Room) -> None:
    room.refer(TEAM, TEAM)
    room.do("update referral.referral set due_at = now() - interval '1 hour'")
    before = room.metrics()

    room.tick(datetime.now(UTC))
    after = room.metrics()

    assert (before["onestory_referrals_overdue"], before["onestory_referrals_overdue_untold"]) == (2, 2)
    assert (after["onestory_referrals_overdue"], after["onestory_referrals_overdue_untold"]) == (2, 0)
    assert after["onestory_referral_overdue_seconds"] >= 3600


@contextmanager
def clock_process(room: Room) -> Iterator[None]:
    """A clock in a process of its own, killed at the end."""
    process = subprocess.Popen([sys.executable, "-c", _PROCESS, room.dsn])
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def wait_until(fulfilled: Any) -> None:
    deadline = time.monotonic() + 60
    while not fulfilled():
        assert time.monotonic() < deadline
        time.sleep(0.01)


_PROCESS = """
import sys, threading
from prometheus_client import CollectorRegistry
from onestory.referral.clocks import clock
from onestory.shared.kafka.codec import create_codec
from onestory.shared.settings import Settings

settings = Settings(postgres=sys.argv[1], key_secret="a secret for tests, long enough!")
clock.escalation_loop(settings, create_codec(""), CollectorRegistry(), threading.Event())()
"""
