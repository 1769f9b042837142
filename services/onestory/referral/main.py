"""`onestory project referral`: the composition root of what the referral room does without being asked."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from onestory.referral.directory import Directory
from onestory.referral.gauges import Gauges
from onestory.referral.store import connection
from onestory.shared import health, logs, memory, settings
from onestory.shared.consumer.kafka_log import KafkaLog
from onestory.shared.consumer.loop import Loop
from onestory.shared.consumer.process import run_until_stopped, stop_on_signals
from onestory.shared.consumer.reader import Reader
from onestory.shared.contracts.codec import codec
from onestory.shared.contracts.topics import DIRECTORY

GROUP = "onestory-referral"


def run() -> int:
    """Work until SIGTERM. The exit code is not 0 when it stopped for another reason."""
    config = settings.read()
    settings.require(config, "key_secret")
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    registry, avro = health.process_registry(), codec(config.schema_registry_url)
    gauges = Gauges(registry)
    connect = partial(connection.connect, config.postgres)
    memory.settle()
    with ExitStack() as closing:

        def open_reader() -> Reader:
            log = KafkaLog(config.kafka, GROUP, [DIRECTORY])
            closing.callback(log.close)
            return Reader(log, avro)

        loop = Loop(open_reader, connect, Directory(gauges), gauges.lag, stop)
        closing.enter_context(health.serving(config.host, config.health_port, registry, loop.turns, loop.ready))
        return run_until_stopped(stop, loop.run)
