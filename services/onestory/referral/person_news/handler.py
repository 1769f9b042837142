"""Reads `care.record` for news about people (death, move), and tells the parties of their open referrals."""

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
from onestory.referral.lifecycle.model import ReferralChange
from onestory.referral.metrics import ReferralMetrics, count_reused_event_ids, count_unusable, run_periodically
from onestory.referral.person_news import death_word_store
from onestory.referral.person_news import store as person_news_store
from onestory.referral.person_news.death_words import DeathWord, death_words, greatest_words, may_have_patient
from onestory.referral.person_news.domain import (
    KnownPerson,
    Move,
    News,
    PersonStatement,
    news,
    news_change,
    person_statements,
    update_known,
)
from onestory.referral.person_news.store import WaitingNews
from onestory.referral.worklist.ended_claims import ClaimEnder
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.events import ConsumedMessage
from onestory.shared.identity import Keys
from onestory.shared.identity_links import IdentityLink, Succession, linked_keys, successions
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.consumer import LogRecord
from onestory.shared.kafka.schemas import RECORD_TOPIC
from onestory.shared.postgres.database import Database, Transaction, create_pool
from onestory.shared.settings import Settings

_SOURCE = re.compile(rb"/organisations/([A-Z0-9]+)/")


class PersonNewsBatch(NamedTuple):
    """The statements about people in a batch, and the messages that cannot be used, each with its reason.

    `statements` are those of demographic authorities, `words` those of other sources about deaths.
    """

    statements: list[PersonStatement]
    words: list[DeathWord]
    unusable: list[tuple[ConsumedMessage, str]]


class PersonNewsProjection:
    """Follows the Patients that sources state, and queues news about people with open referrals.

    A message that cannot be used is counted and logged.
    """

    def __init__(self, keys: Keys, authorities: Collection[str], gauges: ReferralMetrics) -> None:
        self._keys = keys
        self._authorities = frozenset(authorities)
        self._gauges = gauges

    def can_skip(self, topic: str, record: LogRecord) -> bool:
        """Whether the message has no Patient, and its header `ce_source` names a source that is no authority."""
        source = next((text for name, text in record.headers if name == "ce_source"), None)
        match = _SOURCE.match(source or b"") if topic == RECORD_TOPIC else None
        if match is None or match[1].decode() in self._authorities:
            return False
        return not may_have_patient(record.value)

    def prepare(self, messages: Sequence[ConsumedMessage]) -> PersonNewsBatch:
        """Reads the statements in messages, without the database."""
        batch = PersonNewsBatch([], [], [])
        for message in messages:
            try:
                batch.statements.extend(list(person_statements(message, self._keys, self._authorities)))
                batch.words.extend(list(death_words(message, self._authorities)))
            except Unprocessable as error:
                batch.unusable.append((message, error.issues[0].code))
        return batch

    def write(self, transaction: psycopg.Connection, batch: PersonNewsBatch) -> Callable[[], None]:
        """Writes the statements, what is known of their people now, and the news in it.

        Returns a function that updates the metrics, to be called after the commit.
        """
        reused: set[UUID] = set()
        if batch.statements:
            person_news_store.lock(transaction)
            stored = person_news_store.insert_statements(transaction, _without_duplicates(batch.statements))
            reused = {statement.event_id for statement in batch.statements if statement[:3] not in stored}
            changed = _changed_people(transaction, {resource_hash for _, resource_hash, _ in stored})
            person_news_store.upsert_known(
                transaction, {person_key: after for person_key, (_, after) in changed.items()}
            )
            for person_key, (before, after) in changed.items():
                for item in news(before, after):
                    practices = (after.practice, before.practice) if item is News.MOVED else ("", "")
                    person_news_store.queue_news(transaction, person_key, item, *practices)
        if batch.words:
            _write_words(transaction, greatest_words(batch.words))

        def observe() -> None:
            count_unusable(self._gauges, batch.unusable)
            count_reused_event_ids(self._gauges, RECORD_TOPIC, reused)

        return observe


def _write_words(transaction: psycopg.Connection, words: Sequence[DeathWord]) -> None:
    """Writes what sources say of deaths, and queues the news in it. A death that is known already is no news."""
    may_be_news = any(word.died for word in words) or death_word_store.known_deaths(transaction, words)
    if may_be_news:
        # In the same order as for statements of authorities, so that two projectors do not wait for each other.
        person_news_store.lock(transaction)
    death_word_store.lock(transaction, alone=may_be_news)
    if not may_be_news and not death_word_store.known_deaths(transaction, words):
        death_word_store.upsert_words(transaction, words)
        return
    persons = death_word_store.persons_of(transaction, words)
    before = death_word_store.sources_of_deaths(transaction, persons)
    death_word_store.upsert_words(transaction, words)
    after = death_word_store.sources_of_deaths(transaction, persons)
    linked, replacements = _linked_people(transaction, {key for key, _ in before ^ after})
    known = person_news_store.known_people(transaction, linked)
    for person_key, organisation in sorted(before ^ after):
        item = News.DEATH_STATED if (person_key, organisation) in after else News.DEATH_STATED_WITHDRAWN
        for identity in sorted(linked_keys(replacements, person_key)):
            if not known.get(identity, KnownPerson()).deceased:
                person_news_store.queue_news(transaction, identity, item, organisation)


def _changed_people(
    transaction: psycopg.Connection, hashes: Collection[str]
) -> dict[str, tuple[KnownPerson, KnownPerson]]:
    """What was known and what is known now of each person for whom this differs, by person key.

    `hashes` are those of the resources that a batch states.
    """
    person_keys, replacements = _linked_people(transaction, person_news_store.persons_of(transaction, hashes))
    known = person_news_store.known_people(transaction, person_keys)
    current = person_news_store.current_statements(transaction, person_keys)
    changed = {}
    for person_key in person_keys:
        before = known.get(person_key, KnownPerson())
        identities = linked_keys(replacements, person_key)
        after = update_known(before, (statement for key in identities for statement in current.get(key, ())))
        if after != before:
            changed[person_key] = (before, after)
    return changed


def _linked_people(
    transaction: psycopg.Connection, person_keys: Collection[str]
) -> tuple[list[str], frozenset[Succession]]:
    """These people and all people who are linked to them, at any distance, and the successions between them.

    The person keys are sorted, so that all transactions lock them in one order.
    """
    reached: set[str] = set()
    links: set[IdentityLink] = set()
    unvisited = set(person_keys)
    while unvisited:
        reached |= unvisited
        new = person_news_store.links_of(transaction, unvisited)
        links |= new
        unvisited = {key for link in new for key in link[:2]} - reached
    return sorted(reached), successions(links)


def _without_duplicates(statements: Sequence[PersonStatement]) -> list[PersonStatement]:
    """Each event once, with its lowest rank and earliest time. The first stays where an id has other content later."""
    once: dict[tuple[str, str, UUID], PersonStatement] = {}
    for statement in statements:
        identity = (statement.person_key, statement.resource_hash, statement.event_id)
        first = once.setdefault(identity, statement)
        if (first.operation, first.digest) == (statement.operation, statement.digest):
            once[identity] = first._replace(
                rank=min(first.rank, statement.rank), published_at=min(first.published_at, statement.published_at)
            )
    return list(once.values())


_EVERY_S = 1.0
_PAGE = 200

log = structlog.get_logger()


class NewsSender:
    """Tells the parties of open referrals about news of the person: one change for each row of `to_tell`.

    The change deletes its row, so each change is made once. Several processes may run it: the second one finds the row
    deleted.
    """

    def __init__(self, database: Database, handler: ReferralHandler, registry: CollectorRegistry) -> None:
        self._database = database
        self._handler = handler
        self._failures = Counter(
            "onestory_referral_news_failed",
            "News about a person that could not be sent to the parties of a referral, tried again",
            registry=registry,
        )

    async def tick(self, _now: datetime) -> int:
        """Sends all waiting news; returns the number of referrals that changed. Raises `Unavailable`."""
        sent, after = 0, 0
        while page := await person_news_store.waiting_news(self._database, after, _PAGE):
            for waiting in page:
                sent += await self._send(waiting)
            after = page[-1].id
        return sent

    async def _send(self, waiting: WaitingNews) -> bool:
        async def delete(transaction: Transaction, _: ReferralChange) -> None:
            if not await person_news_store.delete_waiting_news(transaction, waiting.id):
                raise _AlreadySent

        try:
            move = Move(waiting.former_practice, waiting.reason, waiting.from_practice)
            decide = partial(news_change, news=waiting.news, reason=waiting.reason, move=move)
            change = await self._handler.change_without_request(waiting.referral_id, decide, delete)
            if change is None:
                async with self._database.transaction() as transaction:
                    await person_news_store.delete_waiting_news(transaction, waiting.id)
        except (_AlreadySent, Unavailable) as error:
            if isinstance(error, Unavailable):
                raise
            return False
        except Exception as error:
            # One referral that cannot be changed must not stop the others.
            self._failures.inc()
            log.error("news_failed", referral=waiting.referral_id, error=type(error).__name__)
            return False
        return change is not None


class _AlreadySent(Exception):
    """Another process has sent this news."""


def news_loop(
    settings: Settings, codec: Codec, registry: CollectorRegistry, stop: threading.Event
) -> Callable[[], None]:
    """A function that sends news, and ends claims of ended roles, in a loop until `stop` is set, to be run in a thread.

    Raises `Misconfigured`.
    """
    clocks, keys = clock.load_clocks(settings.referral_clocks), Keys(settings.key_secret.encode())

    async def run() -> None:
        async with create_pool(settings.postgres, "record") as pool:
            database = Database(pool)
            handler = ReferralHandler(database, codec, keys, clocks)
            sender, claims = NewsSender(database, handler, registry), ClaimEnder(database, handler, registry)

            async def tick(now: datetime) -> int:
                return await sender.tick(now) + await claims.tick(now)

            await run_periodically(tick, _EVERY_S, stop)

    return lambda: asyncio.run(run())
