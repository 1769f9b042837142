"""`onestory project record`: the projector's composition root."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from onestory.record.domain.check import TOPICS
from onestory.record.gauges import Gauges
from onestory.record.handler import Projector
from onestory.record.parking import Parking
from onestory.record.source_gauges import SourceGauges
from onestory.record.store import connection
from onestory.shared import health, logs, memory, postgres, settings
from onestory.shared.consumer.kafka_log import KafkaLog
from onestory.shared.consumer.loop import Loop
from onestory.shared.consumer.process import run_until_stopped, stop_on_signals
from onestory.shared.consumer.reader import Reader
from onestory.shared.contracts.codec import codec
from onestory.shared.identity import Keys
from onestory.shared.outbox import Relay
from onestory.shared.producer import Producer

GROUP = "onestory-record"


def run() -> int:
    """Project until SIGTERM. The exit code is not 0 when it stopped for another reason."""
    config = settings.read()
    settings.require(config, "key_secret")
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    keys, registry = Keys(config.key_secret.encode()), health.process_registry()
    gauges, avro = Gauges(registry), codec(config.schema_registry_url)
    projector = Projector(
        keys, config.demographic_authorities, Parking(avro, gauges, config.parking_limit_per_hour), gauges
    )
    producer = Producer(config.kafka, timeout_s=config.publish_timeout_s, client_id=GROUP, prefix=config.topic_prefix)
    connect = partial(postgres.connect, config.postgres, "record")
    relay = Relay(connect, producer, registry)
    SourceGauges(connect, config, registry)
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
            return Reader(log, avro)

        loop = Loop(open_reader, partial(connection.connect, config.postgres, keys), projector, gauges.lag, stop)
        closing.enter_context(health.serving(config.host, config.health_port, registry, loop.turns, loop.ready))
        return run_until_stopped(stop, loop.run, partial(relay.run, stop))
