"""`onestory project referral`: builds the process of the referral service and runs it.

It reads the directory and the record from Kafka, sends the outbox, escalates overdue referrals, and sends news about
people and about withdrawn Slots.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import NamedTuple

import psycopg

from onestory.referral.appointments import withdrawn
from onestory.referral.clocks import clock
from onestory.referral.directory.ownership_store import write_authorities
from onestory.referral.directory.projection import DirectoryBatch, DirectoryProjection
from onestory.referral.directory.projection_store import lock_directory
from onestory.referral.metrics import ReferralMetrics
from onestory.referral.person_news import handler as person_news_handler
from onestory.referral.person_news.handler import PersonNewsBatch, PersonNewsProjection
from onestory.referral.succession import handler as succession_handler
from onestory.shared import logs, runtime, settings
from onestory.shared.errors import Misconfigured
from onestory.shared.events import ConsumedMessage
from onestory.shared.http import health
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.consumer import join_group
from onestory.shared.kafka.loop import ConsumerLoop, run_until_stopped, stop_on_signals
from onestory.shared.kafka.producer import Producer
from onestory.shared.kafka.reader import LogReader
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC
from onestory.shared.postgres import database
from onestory.shared.postgres.outbox import Relay

GROUP = "onestory-referral"
TOPICS = [DIRECTORY_TOPIC, RECORD_TOPIC]


class ReferralBatch(NamedTuple):
    """The prepared messages of one batch, by topic."""

    directory: DirectoryBatch
    persons: PersonNewsBatch


class ReferralProjector:
    """Writes one batch in one transaction: the directory first, because a Patient may name a practice of the batch."""

    def __init__(self, directory: DirectoryProjection, persons: PersonNewsProjection) -> None:
        self._directory = directory
        self._persons = persons

    def prepare(self, messages: Sequence[ConsumedMessage]) -> ReferralBatch:
        """Does the work that needs no database."""
        return ReferralBatch(
            self._directory.prepare([message for message in messages if message.topic == DIRECTORY_TOPIC]),
            self._persons.prepare([message for message in messages if message.topic == RECORD_TOPIC]),
        )

    def write(self, transaction: psycopg.Connection, batch: ReferralBatch) -> Callable[[], None]:
        """Writes a prepared batch. Returns a function that updates the metrics, to be called after the commit."""
        observers = [
            self._directory.write(transaction, batch.directory),
            self._persons.write(transaction, batch.persons),
        ]

        def observe() -> None:
            for observer in observers:
                observer()

        return observe


def connect_referral(dsn: str, authorities: Collection[str]) -> psycopg.Connection:
    """A connection to the tables of this service, which have these directory authorities from now on.

    Raises `Unavailable`, and `Misconfigured` where the tables are missing.
    """
    with ExitStack() as stack:
        connection = stack.enter_context(closing(database.connect(dsn, "referral")))
        try:
            connection.execute("select from directory_statement limit 1")
        except psycopg.errors.UndefinedTable as error:
            raise Misconfigured("The database has no referrals yet: run `onestory migrate` first.") from error
        lock_directory(connection)
        write_authorities(connection, authorities)
        connection.commit()
        stack.pop_all()
        return connection


def run() -> int:
    """Runs until SIGTERM and returns the exit code, which is not 0 if the process stopped for another reason."""
    config = settings.read()
    settings.require(config, "key_secret")
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    registry, avro = health.process_registry(), create_codec(config.schema_registry_url)
    gauges = ReferralMetrics(registry)
    persons = PersonNewsProjection(Keys(config.key_secret.encode()), config.demographic_authorities, gauges)
    projector = ReferralProjector(DirectoryProjection(gauges, config.directory_authorities), persons)
    connect = partial(connect_referral, config.postgres, authorities=config.directory_authorities)
    producer = Producer(config.kafka, timeout_s=config.publish_timeout_s, client_id=GROUP, prefix=config.topic_prefix)
    relay = Relay(partial(database.connect, config.postgres, "referral"), producer, registry)
    # Each runs in a thread of its own until `stop` is set.
    background: list[Callable[[], None]] = [
        partial(relay.run, stop),
        clock.escalation_loop(config, avro, registry, stop),
        person_news_handler.news_loop(config, avro, registry, stop),
        withdrawn.slot_loop(config, avro, registry, stop),
        succession_handler.succession_loop(config, avro, registry, stop),
    ]
    runtime.tune_gc()
    with ExitStack() as stack:
        stack.callback(producer.close)

        def open_reader() -> LogReader:
            log = join_group(config, GROUP, TOPICS)
            stack.callback(log.close)
            return LogReader(log, avro, persons.can_skip)

        loop = ConsumerLoop(open_reader, connect, projector, gauges.lag.report, stop)
        stack.enter_context(
            health.serve_health(config.host, config.health_port, registry, loop.is_alive, loop.is_ready)
        )
        return run_until_stopped(stop, loop.run, *background)
