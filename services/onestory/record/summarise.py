"""`onestory summarise record`: the summariser's composition root."""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
from functools import partial

from prometheus_client import CollectorRegistry

from onestory.record.merge_rules import merge_rules
from onestory.record.reading.demographics import Demographics
from onestory.record.reading.freshness import Sources
from onestory.record.reading.subjects import Subjects
from onestory.record.reading.summaries import Summaries
from onestory.record.summariser import Summariser
from onestory.shared import health, logs, memory, postgres, settings
from onestory.shared.consumer.process import run_to_its_end, stop_on_signals
from onestory.shared.contracts.codec import codec
from onestory.shared.database import Database, create_pool
from onestory.shared.settings import Settings

_NICENESS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The room whose record it is."""
    parser.add_argument("room", choices=["record"], help="the room whose persons are summarised")


def run(_arguments: argparse.Namespace) -> int:
    """Summarise until SIGTERM. The exit code is not 0 when it stopped for another reason."""
    config = settings.read()
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    memory.settle()
    # Whoever publishes and reads comes first: a summary may wait while there is more to be said.
    os.nice(_NICENESS)
    return run_to_its_end(lambda: asyncio.run(_summarise(config, stop)))


async def _summarise(config: Settings, stop: threading.Event) -> None:
    registry = health.process_registry()
    async with create_pool(config.postgres) as pool:
        summariser = _summariser(config, Database(pool), registry)
        with health.serving(config.host, config.health_port, registry, summariser.live, summariser.ready):
            await summariser.run(stop)


def _summariser(config: Settings, database: Database, registry: CollectorRegistry) -> Summariser:
    subjects = Subjects(database, Demographics(config.demographic_authorities, config.sequenced_sources))
    summaries = Summaries(database, Sources(database, config), merge_rules(), f"{config.base_url.rstrip('/')}/fhir")
    connect = partial(postgres.connect, config.postgres, "record")
    return Summariser(subjects, summaries, connect, codec(config.schema_registry_url), registry)
