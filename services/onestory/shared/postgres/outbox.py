"""The outbox: a transaction stores messages in a table, and a relay sends them to Kafka after the commit.

A service that uses it has the table `outbox (id, topic, key, value, headers, at)` in its schema.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import orjson
import psycopg
import structlog
from prometheus_client import CollectorRegistry, Gauge

from onestory.shared.backoff import GrowingPause
from onestory.shared.errors import Unavailable
from onestory.shared.kafka.producer import KafkaMessage, Producer

# Only one process at a time relays the outbox of a schema, so rows keep their order.
_LOCK = 0x00B0
_MAX_ROWS = 200
_MAX_BYTES = 16_000_000
_IDLE_S = 0.2
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0

# The first row is sent whatever its size.
_OLDEST = """
    select id, topic, key, value, headers from (
        select *, sum(size) over (order by id) - size as before
        from (select *, coalesce(length(value), 0) as size from outbox order by id limit %s) as oldest
    ) as counted
    where before < %s
    order by id"""

log = structlog.get_logger()


def append(transaction: psycopg.Connection, message: KafkaMessage) -> None:
    """Store a message in this transaction. The relay sends messages in the order of their rows, after the commit."""
    transaction.execute(
        "insert into outbox (topic, key, value, headers) values (%s, %b, %b, %s)",
        [message.topic, message.key or b"", message.value, stored_headers(message.headers)],
    )


def stored_headers(headers: Sequence[tuple[str, bytes]]) -> str:
    """Return headers as the JSON text of the column `headers`."""
    return orjson.dumps({name: value.decode() for name, value in headers}).decode()


def hold(transaction: psycopg.Connection, schema: str) -> None:
    """Wait until the current batch of this schema's outbox is sent, and stop the relay until the transaction ends."""
    transaction.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, schema])


class Relay:
    """Sends the rows of the outbox, and deletes them after Kafka's acknowledgement: each at least once."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection], producer: Producer, registry: CollectorRegistry
    ) -> None:
        self._connect = connect
        self._producer = producer
        self._age = Gauge(
            "onestory_outbox_age_seconds", "Age of the oldest event in the outbox, in seconds", registry=registry
        )
        self._waiting = Gauge("onestory_outbox_events", "Events in the outbox", registry=registry)
        self._pause = GrowingPause(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)

    def run(self, stop: threading.Event) -> None:
        """Relay until stopped. It retries while Kafka or PostgreSQL does not answer."""
        with asyncio.Runner() as runner:
            while not stop.is_set():
                try:
                    self._relay_until_stopped(runner, stop)
                except (Unavailable, psycopg.OperationalError, psycopg.InterfaceError) as error:
                    pause_s = self._pause.next_s()
                    log.warning("outbox_retries", because=type(error).__name__, again_in_s=pause_s)
                    stop.wait(pause_s)

    def _relay_until_stopped(self, runner: asyncio.Runner, stop: threading.Event) -> None:
        with self._connect() as connection:
            while not stop.is_set():
                sent = self._send_oldest(connection, runner)
                self._pause.reset()
                if not sent:
                    stop.wait(_IDLE_S)

    def _send_oldest(self, connection: psycopg.Connection, runner: asyncio.Runner) -> int:
        """Send the oldest rows and return their number."""
        with connection.transaction():
            self._update_gauges(connection)
            if not _is_only_relay(connection):
                return 0
            rows = connection.execute(_OLDEST, [_MAX_ROWS, _MAX_BYTES]).fetchall()
            if rows:
                runner.run(self._producer.send([_message(*row) for _, *row in rows]))
                connection.execute("delete from outbox where id = any(%s)", [[row[0] for row in rows]])
            return len(rows)

    def _update_gauges(self, connection: psycopg.Connection) -> None:
        row = connection.execute(
            "select count(*), coalesce(extract(epoch from now() - min(at)), 0)::float8 from outbox"
        ).fetchone()
        assert row is not None
        self._waiting.set(row[0])
        self._age.set(max(0.0, row[1]))


def _message(topic: str, key: bytes, value: bytes | None, headers: dict[str, str]) -> KafkaMessage:
    return KafkaMessage(topic, key, value, [(name, text.encode()) for name, text in headers.items()])


def _is_only_relay(connection: psycopg.Connection) -> bool:
    row = connection.execute("select pg_try_advisory_xact_lock(%s, hashtext(current_schema))", [_LOCK]).fetchone()
    return bool(row and row[0])
