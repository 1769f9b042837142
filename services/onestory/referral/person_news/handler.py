"""Messages of `care.record` become what the parties of open referrals have to be told of the person."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter

from onestory.referral.clocks import clock
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.machine import ReferralChange
from onestory.referral.metrics import ReferralMetrics, note, note_reused, until_stopped
from onestory.referral.person_news import store as person_news_store
from onestory.referral.person_news.domain import KnownPerson, PersonStatement, known, news, person_statements, tell
from onestory.referral.person_news.store import ToTell
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.consumer import LogRecord
from onestory.shared.kafka.reader import ConsumedEvent
from onestory.shared.kafka.schemas import RECORD
from onestory.shared.person_links import PersonLink, Succession, joined, successions
from onestory.shared.postgres.database import Database, Transaction, create_pool
from onestory.shared.settings import Settings

_SOURCE = re.compile(rb"/organisations/([A-Z0-9]+)/")


class PersonNewsBatch(NamedTuple):
    """What authorities say of people, and why the rest cannot be used: (message, reason)."""

    said: list[PersonStatement]
    unusable: list[tuple[ConsumedEvent, str]]


class PersonNewsProjection:
    """Follows what demographic authorities say of people. What cannot be used is counted and logged."""

    def __init__(self, keys: Keys, authorities: Collection[str], gauges: ReferralMetrics) -> None:
        self._keys = keys
        self._authorities = frozenset(authorities)
        self._gauges = gauges

    def passes_by(self, topic: str, record: LogRecord) -> bool:
        """Whether a message says by its header that it is nobody's word that counts: nearly all of `care.record`."""
        source = next((text for name, text in record.headers if name == "ce_source"), None)
        match = _SOURCE.match(source or b"") if topic == RECORD else None
        return match is not None and match[1].decode() not in self._authorities

    def prepare(self, arrivals: Sequence[ConsumedEvent]) -> PersonNewsBatch:
        """Which messages say something that matters here, and which cannot be read."""
        batch = PersonNewsBatch([], [])
        for arrival in arrivals:
            try:
                batch.said.extend(list(person_statements(arrival, self._keys, self._authorities)))
            except Unprocessable as error:
                batch.unusable.append((arrival, error.issues[0].code))
        return batch

    def write(self, transaction: psycopg.Connection, batch: PersonNewsBatch) -> Callable[[], None]:
        """Know what is known now, and have told what is new in it."""
        reused: set[UUID] = set()
        if batch.said:
            person_news_store.lock(transaction)
            kept = person_news_store.keep(transaction, _each_once(batch.said))
            reused = {said.event_id for said in batch.said if said[:3] not in kept}
            changed = _changed(transaction, {resource_hash for _, resource_hash, _ in kept})
            person_news_store.put(transaction, {person_key: after for person_key, (_, after) in changed.items()})
            for person_key, (before, after) in changed.items():
                for each in news(before, after):
                    person_news_store.have_told(transaction, person_key, each, after.practice)

        def observe() -> None:
            note(self._gauges, batch.unusable)
            note_reused(self._gauges, RECORD, reused)

        return observe


def _changed(transaction: psycopg.Connection, hashes: Collection[str]) -> dict[str, tuple[KnownPerson, KnownPerson]]:
    """What was known before and is known now, of everybody of whom something else is known now."""
    person_keys, among = _around(transaction, person_news_store.persons_of(transaction, hashes))
    before, standing = (
        person_news_store.known(transaction, person_keys),
        person_news_store.standing(transaction, person_keys),
    )
    found = {}
    for person_key in person_keys:
        former = before.get(person_key, KnownPerson())
        same = joined(among, person_key)
        after = known(former, (said for each in same for said in standing.get(each, ())))
        if after != former:
            found[person_key] = (former, after)
    return found


def _around(transaction: psycopg.Connection, person_keys: Collection[str]) -> tuple[list[str], frozenset[Succession]]:
    """These people and whoever is linked to them, however far, in one order for all who ask; and who became whom."""
    reached: set[str] = set()
    found: set[PersonLink] = set()
    ahead = set(person_keys)
    while ahead:
        reached |= ahead
        new = person_news_store.links(transaction, ahead)
        found |= new
        ahead = {key for link in new for key in link[:2]} - reached
    return sorted(reached), successions(found)


def _each_once(said: Sequence[PersonStatement]) -> list[PersonStatement]:
    """Each event once, with the earliest of its clocks; the first stands where the id is used for something else."""
    once: dict[tuple[str, str, UUID], PersonStatement] = {}
    for each in said:
        first = once.setdefault((each.person_key, each.resource_hash, each.event_id), each)
        if (first.operation, first.digest) == (each.operation, each.digest):
            once[each.person_key, each.resource_hash, each.event_id] = first._replace(
                rank=min(first.rank, each.rank), published_at=min(first.published_at, each.published_at)
            )
    return list(once.values())


# Tells the parties of open referrals what became of the person.

_EVERY_S = 1.0
_PAGE = 200

log = structlog.get_logger()


class Telling:
    """Makes one change of each referral that waits in `to_tell`, which takes it away: so each is made once.

    Several may run: who comes second finds the row gone.
    """

    def __init__(self, database: Database, handler: ReferralHandler, registry: CollectorRegistry) -> None:
        self._database = database
        self._handler = handler
        self._failures = Counter(
            "onestory_referral_news_failed",
            "News of a person that could not be told to a referral's parties, tried again",
            registry=registry,
        )

    async def tick(self, _now: datetime) -> int:
        """Tell all there is to tell; how many referrals it was. Raises `Unavailable`."""
        done, after = 0, 0
        while found := await person_news_store.to_tell(self._database, after, _PAGE):
            for each in found:
                done += await self._tell(each)
            after = found[-1].id
        return done

    async def _tell(self, each: ToTell) -> bool:
        async def also(transaction: Transaction, _: ReferralChange) -> None:
            if not await person_news_store.told(transaction, each.id):
                raise _Told

        try:
            deciding = partial(tell, news=each.news, practice=each.practice)
            changed = await self._handler.unasked(each.referral_id, deciding, also)
            if changed is None:
                async with self._database.transaction() as transaction:
                    await person_news_store.told(transaction, each.id)
        except (_Told, Unavailable) as error:
            if isinstance(error, Unavailable):
                raise
            return False
        except Exception as error:
            # One referral that cannot be told may not keep all others from it.
            self._failures.inc()
            log.error("news_not_told", referral=each.referral_id, error=type(error).__name__)
            return False
        return changed is not None


def prepared(
    settings: Settings, codec: Codec, registry: CollectorRegistry, stop: threading.Event
) -> Callable[[], None]:
    """What tells all there is to tell until `stop` is set. Raises `Misconfigured`."""
    clocks, keys = clock.load(settings.referral_clocks), Keys(settings.key_secret.encode())

    async def run() -> None:
        async with create_pool(settings.postgres) as pool:
            database = Database(pool)
            telling = Telling(database, ReferralHandler(database, codec, keys, clocks), registry)
            await until_stopped(telling.tick, _EVERY_S, stop)

    return lambda: asyncio.run(run())


class _Told(Exception):
    """Another process has told it."""
