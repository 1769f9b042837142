"""Summaries of those who changed, published to `care.summary`: each person's bursts become one."""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from uuid_utils.compat import uuid7

from onestory.record.freshness.service import Sources
from onestory.record.merge.rules import merge_rules
from onestory.record.person.identifiers import PersonRef
from onestory.record.person.load import Demographics
from onestory.record.read.access import Subjects, View
from onestory.record.summary import store as summary_store
from onestory.record.summary.model import Summary
from onestory.record.summary.service import Summaries, whom
from onestory.record.summary.store import PublishedSummary, QuietPeriod
from onestory.shared import logs, runtime, settings
from onestory.shared.errors import Unavailable
from onestory.shared.events import SummaryChanged
from onestory.shared.http import health
from onestory.shared.kafka.codec import Codec, codec
from onestory.shared.kafka.loop import run_to_its_end, stop_on_signals
from onestory.shared.kafka.schemas import SUMMARY, topics
from onestory.shared.postgres import database as postgres_database
from onestory.shared.postgres.database import Database, create_pool
from onestory.shared.settings import Settings
from onestory.shared.visible_positions import to_token

PATIENCE = QuietPeriod(
    quiet=timedelta(milliseconds=300),
    quiet_in_bulk=timedelta(seconds=5),
    recent=timedelta(seconds=10),
    longest=timedelta(seconds=60),
)
MANY = 50
"""While so many changed within a second, a load goes on that speaks of the same people again and again."""
_AT_ONCE = 50
_IDLE_S = 0.1
# While a load goes on, whoever publishes and reads comes first, in the database too.
_IDLE_IN_BULK_S = 1.0
_REST_IN_BULK = 1
_EXPIRE_EVERY_S = 10.0
_EXPIRE_AT_ONCE = 1000
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_AWAY = (Unavailable, psycopg.OperationalError, psycopg.InterfaceError)

log = structlog.get_logger()


class Summariser:
    """Puts together what waits. Several of them may run: whoever comes second finds that it is done."""

    def __init__(
        self,
        subjects: Subjects,
        summaries: Summaries,
        connect: Callable[[], psycopg.Connection],
        codec: Codec,
        registry: CollectorRegistry,
        patience: QuietPeriod = PATIENCE,
    ) -> None:
        self._subjects = subjects
        self._summaries = summaries
        self._connect = connect
        self._codec = codec
        self._patience = patience
        self._turned_at = time.monotonic()
        self._well = False
        self._in_bulk = False
        self._expired_at = float("-inf")
        self._published = Counter("onestory_summaries_published", "Summaries that say something new", registry=registry)
        self._unable = Counter("onestory_summaries_failed", "Summaries that could not be made", registry=registry)
        self._waiting = Gauge("onestory_summaries_waiting", "Persons whose summary waits", registry=registry)
        self._age = Gauge("onestory_summary_age_seconds", "The longest that a summary has waited", registry=registry)

    async def run(self, stop: threading.Event) -> None:
        """Until stopped. What it depends on may go away and come back."""
        pause_s = _FIRST_PAUSE_S
        while not stop.is_set():
            try:
                with self._connect() as connection:
                    await self._session(connection, stop)
            except _AWAY as error:
                self._well = False
                log.warning("summaries_wait", because=type(error).__name__, again_in_s=pause_s)
                await asyncio.to_thread(stop.wait, pause_s)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
            else:
                pause_s = _FIRST_PAUSE_S

    def live(self) -> bool:
        """Whether the loop still goes round."""
        return time.monotonic() - self._turned_at < _LONGEST_PAUSE_S * 6

    def ready(self) -> bool:
        """Whether nothing stands in its way."""
        return self._well

    async def _session(self, connection: psycopg.Connection, stop: threading.Event) -> None:
        while not stop.is_set():
            self._turned_at = time.monotonic()
            due = self._due(connection)
            self._well = True
            done = [await self._summarise_claimed(connection, key) for key in due if not stop.is_set()]
            if not any(done):
                await asyncio.to_thread(stop.wait, _IDLE_IN_BULK_S if self._in_bulk else _IDLE_S)

    async def _summarise_claimed(self, connection: psycopg.Connection, person_key: str) -> bool:
        began = time.monotonic()
        with summary_store.claimed(connection, person_key) as ours:
            if ours:
                await self._summarise(connection, person_key)
        if self._in_bulk:
            await asyncio.sleep(_REST_IN_BULK * (time.monotonic() - began))
        return ours

    def _due(self, connection: psycopg.Connection) -> list[str]:
        with connection.transaction():
            is_time = time.monotonic() - self._expired_at > _EXPIRE_EVERY_S
            if is_time and summary_store.expire(connection, _EXPIRE_AT_ONCE) < _EXPIRE_AT_ONCE:
                self._expired_at = time.monotonic()
            waiting = summary_store.waiting(connection)
            self._waiting.set(waiting.persons)
            self._age.set(waiting.longest_s)
            self._in_bulk = waiting.changing > MANY
            return summary_store.due(connection, self._patience, many=self._in_bulk, most=_AT_ONCE)

    async def _summarise(self, connection: psycopg.Connection, person_key: str) -> None:
        view = await self._subjects.unfiltered(PersonRef(person_key))
        try:
            made = await self._made(view)
        except _AWAY:
            raise
        except Exception as error:
            # One record that cannot be summarised may not keep everybody else's from being.
            self._unable.inc()
            log.error("summary_failed", person_key=person_key, error=type(error).__name__)
            made = {}
        with connection.transaction():
            if summary_store.settle(connection, view.person.versions):
                for key, summary in made.items():
                    self._publish(connection, key, view, summary)
                summary_store.done(connection, list(view.person.person_keys))

    async def _made(self, view: View) -> Mapping[str, Summary]:
        """For each identity of the person: a number's has the Patient of that number."""
        now = datetime.now(UTC)
        numbers = view.person.numbers
        return {
            key: await self._summaries.at(view, whom(view, numbers.get(key, key)), now)
            for key in sorted(view.person.person_keys)
        }

    def _publish(self, transaction: psycopg.Connection, person_key: str, view: View, summary: Summary) -> None:
        person = summary_store.identifier(transaction, person_key)
        before = summary_store.published(transaction, person_key)
        if person is None:
            return
        if before is not None and before.digest == summary.digest and not _holds_anew(before, summary):
            summary_store.keep(transaction, person_key, _held(before, summary))
            return
        if len(summary.document) > topics()[SUMMARY].max_message_bytes - _ENVELOPE_BYTES:
            self._unable.inc()
            log.error("summary_too_large", person_key=person_key, bytes=len(summary.document))
            return
        position = summary_store.position(transaction, list(view.person.person_keys))
        event = SummaryChanged(
            event_id=uuid7(),
            person=person,
            position=to_token(position),
            digest=summary.digest,
            changed=_changed(before.parts if before else {}, summary.parts),
            summarised_at=datetime.now(UTC),
            valid_until=summary.valid_until,
            document=summary.document,
        )
        summary_store.publish(transaction, person_key, event, summary, self._codec)
        self._published.inc()


_ENVELOPE_BYTES = 65_536


def _holds_anew(before: PublishedSummary, now: Summary) -> bool:
    """Whether what was published has run out and says the same still: who keeps it may not read it any more."""
    return before.valid_until is None and now.valid_until is not None


def _held(before: PublishedSummary, now: Summary) -> Summary:
    """What was published holds until the time that was published with it, or less long."""
    times = [each for each in (before.valid_until, now.valid_until) if each]
    return replace(now, valid_until=min(times, default=None))


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(code for code in before.keys() | now.keys() if before.get(code) != now.get(code)))


# `onestory summarise record`: the summariser's composition root.

_NICENESS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The room whose record it is."""
    parser.add_argument("room", choices=["record"], help="the room whose persons are summarised")


def run(_arguments: argparse.Namespace) -> int:
    """Summarise until SIGTERM. The exit code is not 0 when it stopped for another reason."""
    config = settings.read()
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    runtime.tune_gc()
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
    connect = partial(postgres_database.connect, config.postgres, "record")
    return Summariser(subjects, summaries, connect, codec(config.schema_registry_url), registry)
