"""`onestory project record`: the projector's composition root."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial

import psycopg

from onestory.record.parking.park import Parking
from onestory.record.projector.handler import RecordProjector
from onestory.record.projector.metrics import ProjectorMetrics, SourceGauges
from onestory.record.projector.prepare import TOPICS
from onestory.shared import logs, runtime, settings
from onestory.shared.errors import Misconfigured
from onestory.shared.http import health
from onestory.shared.identity import Keys, PersonIdentifier
from onestory.shared.kafka.codec import codec
from onestory.shared.kafka.consumer import KafkaLog
from onestory.shared.kafka.loop import Loop, run_until_stopped, stop_on_signals
from onestory.shared.kafka.producer import Producer
from onestory.shared.kafka.reader import LogReader
from onestory.shared.postgres import database
from onestory.shared.postgres.outbox import Relay

# The projector's connection: its temporary tables, and the check that it is the right record.

_TABLES = """
create temp table staged_current (
    person_key text, resource_type text, shared_id text, event_id uuid, rank bigint, published_at timestamptz,
    organisation text, system text, operation text, content_digest bytea, away boolean
) on commit delete rows;
create temp table staged_claim (
    resource_hash text, person_key text, rank bigint, published_at timestamptz, event_id uuid
) on commit delete rows;
create temp table staged_repeat (
    person_key text, shared_id text, event_id uuid, rank bigint, published_at timestamptz, recorded_at timestamptz,
    broker_time timestamptz, "offset" bigint
) on commit delete rows;
"""

# A plan made while a table was small would be kept when it is large; every lookup here is by the key that it joins on.
_PLANNING = """
set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set enable_material = off;
set plan_cache_mode = force_generic_plan;
"""


def connect_projector(dsn: str, keys: Keys, generation: str = "record") -> psycopg.Connection:
    """A connection for the projector of a generation of the record.

    Raises `Unavailable`; `Misconfigured` when the tables are not there or were written with another key secret: then
    every message would be parked.
    """
    with ExitStack() as unless_ready:
        connection = unless_ready.enter_context(closing(database.connect(dsn, generation)))
        _check(connection, keys)
        connection.execute(_TABLES)
        connection.execute(_PLANNING)
        connection.commit()
        unless_ready.pop_all()
        return connection


def _check(connection: psycopg.Connection, keys: Keys) -> None:
    try:
        known = connection.execute("select person_key, system, value from person limit 1").fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise Misconfigured("The database has no record yet: run `onestory migrate` first.") from error
    if known and keys.person_key(PersonIdentifier(*known[1:])) != known[0]:
        raise Misconfigured("ONESTORY_KEY_SECRET is not the one that this record was written with.")


GROUP = "onestory-record"


def run() -> int:
    """Project until SIGTERM. The exit code is not 0 when it stopped for another reason."""
    config = settings.read()
    settings.require(config, "key_secret")
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    keys, registry = Keys(config.key_secret.encode()), health.process_registry()
    gauges, avro = ProjectorMetrics(registry), codec(config.schema_registry_url)
    projector = RecordProjector(
        keys, config.demographic_authorities, Parking(avro, gauges, config.parking_limit_per_hour), gauges
    )
    producer = Producer(config.kafka, timeout_s=config.publish_timeout_s, client_id=GROUP)
    connect = partial(database.connect, config.postgres, "record")
    relay = Relay(connect, producer, registry)
    SourceGauges(connect, config, registry)
    runtime.tune_gc()
    with ExitStack() as closing:
        closing.callback(producer.close)

        def open_reader() -> LogReader:
            log = KafkaLog(config.kafka, GROUP, TOPICS)
            closing.callback(log.close)
            return LogReader(log, avro)

        loop = Loop(open_reader, partial(connect_projector, config.postgres, keys), projector, gauges.lag, stop)
        closing.enter_context(health.serving(config.host, config.health_port, registry, loop.turns, loop.ready))
        return run_until_stopped(stop, loop.run, partial(relay.run, stop))
