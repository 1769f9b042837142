"""`onestory project referral`: the composition root of what the referral room does without being asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from onestory.referral import clock, telling
from onestory.referral.directory import Directory
from onestory.referral.gauges import Gauges
from onestory.referral.persons import Persons
from onestory.referral.projector import TOPICS, Projector
from onestory.referral.store import connection
from onestory.shared import health, logs, memory, postgres, settings
from onestory.shared.consumer.kafka_log import KafkaLog
from onestory.shared.consumer.loop import Loop
from onestory.shared.consumer.process import run_until_stopped, stop_on_signals
from onestory.shared.consumer.reader import Reader
from onestory.shared.contracts.codec import codec
from onestory.shared.identity import Keys
from onestory.shared.outbox import Relay
from onestory.shared.producer import Producer

GROUP = "onestory-referral"


def run() -> int:
    """Work until SIGTERM. The exit code is not 0 when it stopped for another reason."""
    config = settings.read()
    settings.require(config, "key_secret")
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    registry, avro = health.process_registry(), codec(config.schema_registry_url)
    gauges = Gauges(registry)
    persons = Persons(Keys(config.key_secret.encode()), config.demographic_authorities, gauges)
    projector = Projector(Directory(gauges), persons)
    connect = partial(connection.connect, config.postgres)
    producer = Producer(config.kafka, timeout_s=config.publish_timeout_s, client_id=GROUP, prefix=config.topic_prefix)
    relay = Relay(partial(postgres.connect, config.postgres, "referral"), producer, registry)
    # What else goes on here, each in a thread of its own until `stop` is set.
    beside: list[Callable[[], None]] = [
        partial(relay.run, stop),
        clock.prepared(config, avro, registry, stop),
        telling.prepared(config, avro, registry, stop),
    ]
    memory.settle()
    with ExitStack() as closing:
        closing.callback(producer.close)

        def open_reader() -> Reader:
            log = KafkaLog(
                config.kafka,
                GROUP,
                TOPICS,
                prefix=config.topic_prefix,
                instance=config.instance,
                session_s=config.consumer_session_s,
            )
            closing.callback(log.close)
            return Reader(log, avro, persons.passes_by)

        loop = Loop(open_reader, connect, projector, gauges.lag, stop)
        closing.enter_context(health.serving(config.host, config.health_port, registry, loop.turns, loop.ready))
        return run_until_stopped(stop, loop.run, *beside)
