"""`onestory project referral`: the composition root of what the referral room does without being asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import NamedTuple

import psycopg

from onestory.referral.clocks import clock
from onestory.referral.directory.projection import Directory, DirectoryBatch
from onestory.referral.metrics import ReferralMetrics
from onestory.referral.person_news import handler as person_news_handler
from onestory.referral.person_news.handler import PersonNewsBatch, PersonNewsProjection
from onestory.shared import logs, runtime, settings
from onestory.shared.errors import Misconfigured
from onestory.shared.http import health
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import codec
from onestory.shared.kafka.consumer import KafkaLog
from onestory.shared.kafka.loop import Loop, run_until_stopped, stop_on_signals
from onestory.shared.kafka.producer import Producer
from onestory.shared.kafka.reader import ConsumedEvent, LogReader
from onestory.shared.kafka.schemas import DIRECTORY, RECORD
from onestory.shared.postgres import database
from onestory.shared.postgres.outbox import Relay

# What one transaction of `onestory project referral` does with a batch: each topic has its own part.

TOPICS = [DIRECTORY, RECORD]


class ReferralBatch(NamedTuple):
    """A batch by topic."""

    directory: DirectoryBatch
    persons: PersonNewsBatch


class ReferralProjector:
    """The directory first: who speaks of people may name a practice that came with the same batch."""

    def __init__(self, of_directory: Directory, of_persons: PersonNewsProjection) -> None:
        self._directory = of_directory
        self._persons = of_persons

    def prepare(self, arrivals: Sequence[ConsumedEvent]) -> ReferralBatch:
        """Everything that needs no database."""
        return ReferralBatch(
            self._directory.prepare([each for each in arrivals if each.topic == DIRECTORY]),
            self._persons.prepare([each for each in arrivals if each.topic == RECORD]),
        )

    def write(self, transaction: psycopg.Connection, batch: ReferralBatch) -> Callable[[], None]:
        """Write both."""
        done = [
            self._directory.write(transaction, batch.directory),
            self._persons.write(transaction, batch.persons),
        ]

        def observe() -> None:
            for each in done:
                each()

        return observe


# The connection of `onestory project referral`.


def connect_referral(dsn: str) -> psycopg.Connection:
    """A connection to the room's tables. Raises `Unavailable`; `Misconfigured` when they are not there."""
    with ExitStack() as unless_ready:
        connection = unless_ready.enter_context(closing(database.connect(dsn, "referral")))
        try:
            connection.execute("select from directory_statement limit 1")
        except psycopg.errors.UndefinedTable as error:
            raise Misconfigured("The database has no referrals yet: run `onestory migrate` first.") from error
        connection.commit()
        unless_ready.pop_all()
        return connection


GROUP = "onestory-referral"


def run() -> int:
    """Work until SIGTERM. The exit code is not 0 when it stopped for another reason."""
    config = settings.read()
    settings.require(config, "key_secret")
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    registry, avro = health.process_registry(), codec(config.schema_registry_url)
    gauges = ReferralMetrics(registry)
    persons = PersonNewsProjection(Keys(config.key_secret.encode()), config.demographic_authorities, gauges)
    projector = ReferralProjector(Directory(gauges), persons)
    connect = partial(connect_referral, config.postgres)
    producer = Producer(config.kafka, timeout_s=config.publish_timeout_s, client_id=GROUP)
    relay = Relay(partial(database.connect, config.postgres, "referral"), producer, registry)
    # What else goes on here, each in a thread of its own until `stop` is set.
    beside: list[Callable[[], None]] = [
        partial(relay.run, stop),
        clock.prepared(config, avro, registry, stop),
        person_news_handler.prepared(config, avro, registry, stop),
    ]
    runtime.tune_gc()
    with ExitStack() as closing:
        closing.callback(producer.close)

        def open_reader() -> LogReader:
            log = KafkaLog(config.kafka, GROUP, TOPICS)
            closing.callback(log.close)
            return LogReader(log, avro, persons.passes_by)

        loop = Loop(open_reader, connect, projector, gauges.lag, stop)
        closing.enter_context(health.serving(config.host, config.health_port, registry, loop.turns, loop.ready))
        return run_until_stopped(stop, loop.run, *beside)
