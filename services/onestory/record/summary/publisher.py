"""The process `onestory summarise record`: publishes the summaries of changed persons to `care.summary`.

Several changes of one person in quick succession become one summary.
"""

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

from onestory.record.freshness.service import FreshnessService
from onestory.record.medicines.dmd import loaded_release
from onestory.record.merge.rules import merge_rules
from onestory.record.person.identifiers import PersonRef
from onestory.record.person.load import Demographics
from onestory.record.read.access import RecordView, unfiltered_view
from onestory.record.read.person_reader import PersonReader
from onestory.record.review import require_review
from onestory.record.summary import store as summary_store
from onestory.record.summary.model import Summary
from onestory.record.summary.service import MadeSummary, Summaries, summary_patient
from onestory.record.summary.store import PublishedSummary, QuietPeriod
from onestory.shared import logs, runtime, settings
from onestory.shared.backoff import GrowingPause
from onestory.shared.errors import Unavailable
from onestory.shared.events import SummaryChanged
from onestory.shared.http import health
from onestory.shared.kafka.codec import Codec, create_codec
from onestory.shared.kafka.loop import run_main, stop_on_signals
from onestory.shared.kafka.schemas import SUMMARY_TOPIC, topics
from onestory.shared.postgres import database as postgres_database
from onestory.shared.postgres.database import Database, create_pool
from onestory.shared.settings import Settings
from onestory.shared.visible_positions import position_token

QUIET_PERIOD = QuietPeriod(
    quiet=timedelta(milliseconds=300),
    quiet_in_bulk=timedelta(seconds=5),
    recent=timedelta(seconds=10),
    longest=timedelta(seconds=60),
)
BULK_THRESHOLD = 50
"""If more persons than this changed within the last second, a bulk load is going on, and persons wait longer."""
_BATCH = 50
_IDLE_S = 0.1
# During a bulk load, publishing and reading come first, in the database too.
_IDLE_IN_BULK_S = 1.0
_REST_IN_BULK = 1
_EXPIRE_EVERY_S = 10.0
_EXPIRE_BATCH = 1000
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_NICENESS = 10
# A change of these in the directory may change what a summary says of a person. An organisation's new name does not. It
# would make a summary of each of its patients.
_NAMED_TYPES = frozenset(["Medication", "Substance", "Device"])
# Space that the event needs besides its document.
_ENVELOPE_BYTES = 65_536
_UNAVAILABLE = (Unavailable, psycopg.OperationalError, psycopg.InterfaceError)

log = structlog.get_logger()


class Summariser:
    """Makes and publishes the summaries that are due. Several may run: a lock on each person prevents double work."""

    def __init__(
        self,
        persons: PersonReader,
        summaries: Summaries,
        connect: Callable[[], psycopg.Connection],
        codec: Codec,
        registry: CollectorRegistry,
        quiet_period: QuietPeriod = QUIET_PERIOD,
    ) -> None:
        self._persons = persons
        self._summaries = summaries
        self._connect = connect
        self._codec = codec
        self._quiet_period = quiet_period
        self._pause = GrowingPause(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._turned_at = time.monotonic()
        self._reachable = False
        self._in_bulk = False
        self._expired_at = float("-inf")
        self._published = Counter("onestory_summaries_published", "Summaries that say something new", registry=registry)
        self._failed = Counter("onestory_summaries_failed", "Summaries that could not be made", registry=registry)
        self._waiting = Gauge("onestory_summaries_waiting", "Persons whose summary waits", registry=registry)
        self._longest_wait = Gauge(
            "onestory_summary_age_seconds", "The longest that a summary has waited", registry=registry
        )

    async def run(self, stop: threading.Event) -> None:
        """Runs until stopped. When the database or another dependency fails, retries with back-off."""
        while not stop.is_set():
            try:
                with self._connect() as connection:
                    await self._session(connection, stop)
            except _UNAVAILABLE as error:
                self._reachable = False
                pause_s = self._pause.next_s()
                log.warning("summaries_paused", because=type(error).__name__, again_in_s=pause_s)
                await asyncio.to_thread(stop.wait, pause_s)

    def live(self) -> bool:
        """Whether the loop has turned recently."""
        return time.monotonic() - self._turned_at < _LONGEST_PAUSE_S * 6

    def ready(self) -> bool:
        """Whether the last turn reached the database."""
        return self._reachable

    async def _session(self, connection: psycopg.Connection, stop: threading.Event) -> None:
        while not stop.is_set():
            self._turned_at = time.monotonic()
            batch = self._next_batch(connection)
            self._reachable = True
            done = [await self._summarise_locked(connection, key) for key in batch if not stop.is_set()]
            self._pause.reset()
            if not any(done):
                await asyncio.to_thread(stop.wait, _IDLE_IN_BULK_S if self._in_bulk else _IDLE_S)

    async def _summarise_locked(self, connection: psycopg.Connection, person_key: str) -> bool:
        began = time.monotonic()
        with summary_store.person_lock(connection, person_key) as locked:
            if locked:
                await self._summarise(connection, person_key)
        if self._in_bulk:
            await asyncio.sleep(_REST_IN_BULK * (time.monotonic() - began))
        return locked

    def _next_batch(self, connection: psycopg.Connection) -> list[str]:
        with connection.transaction():
            is_time = time.monotonic() - self._expired_at > _EXPIRE_EVERY_S
            if is_time and summary_store.requeue_expired(connection, _EXPIRE_BATCH) < _EXPIRE_BATCH:
                self._expired_at = time.monotonic()
            waiting = summary_store.waiting(connection)
            self._waiting.set(waiting.persons)
            self._longest_wait.set(waiting.longest_s)
            self._in_bulk = waiting.changing > BULK_THRESHOLD
            return summary_store.due_persons(connection, self._quiet_period, many=self._in_bulk, most=_BATCH)

    async def _summarise(self, connection: psycopg.Connection, person_key: str) -> None:
        view = await unfiltered_view(self._persons, PersonRef(person_key))
        try:
            summaries = await self._summaries_by_key(view)
        except _UNAVAILABLE:
            raise
        except Exception as error:
            # One record that fails must not stop the summaries of all others.
            self._failed.inc()
            log.error("summary_failed", person_key=person_key, error=type(error).__name__)
            summaries = {}
        with connection.transaction():
            if summary_store.lock_if_unchanged(connection, view.person.versions):
                for key, made in summaries.items():
                    self._publish(connection, key, view, made)
                summary_store.mark_done(connection, list(view.person.person_keys))

    async def _summaries_by_key(self, view: RecordView) -> Mapping[str, MadeSummary]:
        """The summary for each identity of the person: for an NHS number, with the Patient of that number."""
        now = datetime.now(UTC)
        numbers = view.person.numbers
        return {
            key: await self._summaries.make(view, summary_patient(view, numbers.get(key, key)), now)
            for key in sorted(view.person.person_keys)
        }

    def _publish(self, transaction: psycopg.Connection, person_key: str, view: RecordView, made: MadeSummary) -> None:
        summary, named = made.summary, {shared_id for kind, shared_id in made.directory if kind in _NAMED_TYPES}
        person = summary_store.person_identifier(transaction, person_key)
        before = summary_store.last_published(transaction, person_key)
        if person is None:
            return
        if not view.entries:
            if before is not None:
                summary_store.publish_removal(transaction, person_key, uuid7(), datetime.now(UTC))
            return
        if before is not None and before.digest == summary.digest and not _must_renew(before, summary):
            summary_store.save(transaction, person_key, _with_earlier_expiry(before, summary), named)
            return
        if len(summary.document) > topics()[SUMMARY_TOPIC].max_message_bytes - _ENVELOPE_BYTES:
            self._failed.inc()
            log.error("summary_too_large", person_key=person_key, bytes=len(summary.document))
            return
        position = summary_store.latest_positions(transaction, list(view.person.person_keys))
        event = SummaryChanged(
            event_id=uuid7(),
            person=person,
            position=position_token(position),
            digest=summary.digest,
            changed=_changed_parts(before.parts if before else {}, summary.parts),
            summarised_at=datetime.now(UTC),
            valid_until=summary.valid_until,
            document=summary.document,
        )
        summary_store.publish(transaction, person_key, event, summary, named, self._codec)
        self._published.inc()


def _must_renew(before: PublishedSummary, now: Summary) -> bool:
    """Whether the published summary has expired but its content is still right: its readers need a new event."""
    return before.valid_until is None and now.valid_until is not None


def _with_earlier_expiry(before: PublishedSummary, now: Summary) -> Summary:
    """The summary with the earlier of both expiry times, because no event announces a later one."""
    times = [each for each in (before.valid_until, now.valid_until) if each]
    return replace(now, valid_until=min(times, default=None))


def _changed_parts(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(code for code in before.keys() | now.keys() if before.get(code) != now.get(code)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the name of the service whose persons are summarised."""
    parser.add_argument("service", choices=["record"], help="the service whose persons are summarised")


def run(_arguments: argparse.Namespace) -> int:
    """Runs the summariser until SIGTERM. The exit code is not 0 if it stopped for another reason."""
    config = settings.read()
    require_review(config.accept_unreviewed)
    loaded_release()
    logs.configure(config.log_level, config.log_format)
    stop = stop_on_signals()
    runtime.tune_gc()
    # Publishing and reading come first; a summary may wait.
    os.nice(_NICENESS)
    return run_main(lambda: asyncio.run(_summarise(config, stop)))


async def _summarise(config: Settings, stop: threading.Event) -> None:
    registry = health.process_registry()
    async with create_pool(config.postgres, "record") as pool:
        summariser = _create_summariser(config, Database(pool), registry)
        with health.serve_health(config.host, config.health_port, registry, summariser.live, summariser.ready):
            await summariser.run(stop)


def _create_summariser(config: Settings, database: Database, registry: CollectorRegistry) -> Summariser:
    persons = PersonReader(database, Demographics(config.demographic_authorities, config.sequenced_sources))
    summaries = Summaries(
        database, FreshnessService(database, config), merge_rules(), f"{config.base_url.rstrip('/')}/fhir"
    )
    connect = partial(postgres_database.connect, config.postgres, "record")
    return Summariser(persons, summaries, connect, create_codec(config.schema_registry_url), registry)
