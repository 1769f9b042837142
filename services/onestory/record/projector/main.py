"""`onestory project record`: builds the projector from settings and runs it.

A row goes from here to `handler` (one transaction), `prepare` (checks), `rows` and `store` (SQL).
"""

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
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.consumer import join_group
from onestory.shared.kafka.loop import ConsumerLoop, run_until_stopped, stop_on_signals
from onestory.shared.kafka.producer import Producer
from onestory.shared.kafka.reader import LogReader
from onestory.shared.postgres import database
from onestory.shared.postgres.outbox import Relay

CONSUMER_GROUP = "onestory-record"


def run() -> int:
    """Project until SIGTERM. Returns the exit code: 0 unless it stopped for another reason."""
    config = settings.read()
    settings.require(config, "key_secret")
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    keys, registry = Keys(config.key_secret.encode()), health.process_registry()
    metrics, avro = ProjectorMetrics(registry), create_codec(config.schema_registry_url)
    parking = Parking(avro, metrics, config.parking_limit_per_hour)
    projector = RecordProjector(keys, config.demographic_authorities, parking, metrics, config.identities_per_source)
    producer = Producer(
        config.kafka, timeout_s=config.publish_timeout_s, client_id=CONSUMER_GROUP, prefix=config.topic_prefix
    )
    connect = partial(database.connect, config.postgres, "record")
    relay = Relay(connect, producer, registry)
    SourceGauges(connect, config, registry)
    runtime.tune_gc()
    with ExitStack() as on_exit:
        on_exit.callback(producer.close)

        def open_reader() -> LogReader:
            log = join_group(config, CONSUMER_GROUP, TOPICS)
            on_exit.callback(log.close)
            return LogReader(log, avro)

        connect_to_record = partial(connect_projector, config.postgres, keys)
        loop = ConsumerLoop(open_reader, connect_to_record, projector, metrics.lag.report, stop)
        on_exit.enter_context(
            health.serve_health(config.host, config.health_port, registry, loop.is_alive, loop.is_ready)
        )
        return run_until_stopped(stop, loop.run, partial(relay.run, stop))


# The projector's connection.

_STAGING_TABLES = """
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

# PostgreSQL would keep a plan that it made while a table was small. Every query of the projector looks rows up by the
# key that it joins on, so plans by index are right for tables of any size.
_PLANNER_SETTINGS = """
set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set enable_material = off;
set plan_cache_mode = force_generic_plan;
"""


def connect_projector(dsn: str, keys: Keys, generation: str = "record") -> psycopg.Connection:
    """A connection for the projector, with its temporary tables; `generation` is the schema to write.

    Raises `Unavailable`, and `Misconfigured` when the tables are missing or were written with another key secret. With
    another secret every message would be parked.
    """
    with ExitStack() as unless_ready:
        connection = unless_ready.enter_context(closing(database.connect(dsn, generation)))
        _check_key_secret(connection, keys)
        connection.execute(_STAGING_TABLES)
        connection.execute(_PLANNER_SETTINGS)
        connection.commit()
        unless_ready.pop_all()
        return connection


def _check_key_secret(connection: psycopg.Connection, keys: Keys) -> None:
    try:
        person = connection.execute("select person_key, system, value from person limit 1").fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise Misconfigured("The database has no record yet: run `onestory migrate` first.") from error
    if person and keys.person_key(PersonIdentifier(*person[1:])) != person[0]:
        raise Misconfigured("ONESTORY_KEY_SECRET: this record was written with another secret. Set that one.")
