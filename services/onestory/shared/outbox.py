"""The outbox: events that go to Kafka because of what a transaction wrote, and in the same transaction.

A room that uses it has the table `outbox (id, topic, key, value, at)` in its schema.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Gauge

from onestory.shared.errors import Unavailable
from onestory.shared.producer import Message, Producer

# Only one process relays a room's outbox, so rows keep their order.
_LOCK = 0x00B0
_MOST_ROWS = 200
_MOST_BYTES = 16_000_000
_IDLE_S = 0.2
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0

log = structlog.get_logger()


def append(transaction: psycopg.Connection, topic: str, key: bytes, value: bytes) -> None:
    """Send this once the transaction has committed. Rows go out in the order in which they were appended."""
    transaction.execute("insert into outbox (topic, key, value) values (%s, %b, %b)", [topic, key, value])


def hold(transaction: psycopg.Connection, room: str) -> None:
    """Wait for what is being sent from a room's outbox; nothing more is until this transaction ends."""
    transaction.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, room])


class Relay:
    """Sends what stands in the outbox, and deletes it once Kafka has acknowledged it: at least once, never not."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection], producer: Producer, registry: CollectorRegistry
    ) -> None:
        self._connect = connect
        self._producer = producer
        self._age = Gauge("onestory_outbox_age_seconds", "Age of the oldest event that waits", registry=registry)
        self._waiting = Gauge("onestory_outbox_events", "Events that wait", registry=registry)

    def run(self, stop: threading.Event) -> None:
        """Relay until stopped. What it depends on may go away and come back."""
        pause_s = _FIRST_PAUSE_S
        with asyncio.Runner() as runner:
            while not stop.is_set():
                try:
                    self._session(runner, stop)
                    pause_s = _FIRST_PAUSE_S
                except (Unavailable, psycopg.OperationalError, psycopg.InterfaceError) as error:
                    log.warning("outbox_waits", because=type(error).__name__, again_in_s=pause_s)
                    stop.wait(pause_s)
                    pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    def _session(self, runner: asyncio.Runner, stop: threading.Event) -> None:
        with self._connect() as connection:
            while not stop.is_set():
                if not self._relay(connection, runner):
                    stop.wait(_IDLE_S)

    def _relay(self, connection: psycopg.Connection, runner: asyncio.Runner) -> int:
        """Send the oldest rows; how many there were."""
        with connection.transaction():
            self._observe(connection)
            if not _is_ours(connection):
                return 0
            rows = connection.execute(_OLDEST, [_MOST_ROWS, _MOST_BYTES]).fetchall()
            if rows:
                runner.run(self._producer.send([Message(topic, key, value) for _, topic, key, value in rows]))
                connection.execute("delete from outbox where id = any(%s)", [[row[0] for row in rows]])
            return len(rows)

    def _observe(self, connection: psycopg.Connection) -> None:
        row = connection.execute(
            "select count(*), coalesce(extract(epoch from now() - min(at)), 0)::float8 from outbox"
        ).fetchone()
        assert row is not None
        self._waiting.set(row[0])
        self._age.set(max(0.0, row[1]))


# The first row goes out whatever its size.
_OLDEST = """
    select id, topic, key, value from (
        select id, topic, key, value, sum(length(value)) over (order by id) - length(value) as before
        from (select id, topic, key, value from outbox order by id limit %s) as oldest
    ) as counted
    where before < %s
    order by id"""


def _is_ours(connection: psycopg.Connection) -> bool:
    row = connection.execute("select pg_try_advisory_xact_lock(%s, hashtext(current_schema))", [_LOCK]).fetchone()
    return bool(row and row[0])
