"""One publish: decide, write to Kafka, and only then say so."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import structlog
from prometheus_client import Counter
from uuid_utils.compat import uuid7

from onestory.intake.domain.judgement import overwriting, refuse_overwritten
from onestory.intake.domain.parse import Opened, open_submission
from onestory.intake.domain.prepare import prepare
from onestory.intake.domain.request import (
    AcceptedEntry,
    Door,
    KnownResource,
    PreparedSubmission,
    PublisherClaims,
    Reception,
    RequestContext,
    Submission,
    receive,
)
from onestory.intake.store import judgements, known_resources, standing, with_identities
from onestory.shared.errors import OneStoryError, TooLarge, Unprocessable
from onestory.shared.events import DirectoryChanged, RecordChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.caller import Caller
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition, Producer
from onestory.shared.kafka.schemas import DIRECTORY, RECORD, Topic
from onestory.shared.postgres.database import Database
from onestory.shared.visible_positions import VisiblePositions, to_token

# Which idempotency keys this process has published, and with what: a repetition is harmless, a mix-up is not.

_KEPT = 20_000


class Repeats:
    """Remembers the latest keys of each client. What it has forgotten, the projector still notices."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._published: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()

    def refuse_mix_up(self, submission: Submission, reception: Reception) -> None:
        """Raise `Unprocessable` when this client's key has been published with another content."""
        known = self._published.get(_client_key(reception))
        if known is not None and known != _digest(submission, reception):
            says = "This Idempotency-Key was used with another content: send a new key for new content."
            raise Unprocessable(says, code="duplicate")

    def remember(self, submission: Submission, reception: Reception) -> None:
        """Keep what has just been published, and forget the oldest when there are too many."""
        if not reception.idempotency_key:
            return
        self._published[_client_key(reception)] = _digest(submission, reception)
        self._published.move_to_end(_client_key(reception))
        if len(self._published) > self._kept:
            self._published.popitem(last=False)


def _client_key(reception: Reception) -> tuple[str, str, str]:
    return reception.source.organisation, reception.source.system, reception.idempotency_key


def _digest(submission: Submission, reception: Reception) -> bytes:
    address = (submission.method, submission.resource_type, submission.resource_id, submission.search)
    said = (submission.if_none_exist, str(reception.sequence), *sorted(reception.complete_types))
    digest = hashlib.sha256("\0".join((*address, *said, "")).encode())
    digest.update(submission.body)
    return digest.digest()


# Events as Kafka messages: key, Avro value, CloudEvents 1.0 attributes and trace context in headers.


class EventMessages:
    """Makes messages of events."""

    def __init__(self, codec: Codec, keys: Keys, topics: Mapping[str, Topic]) -> None:
        self._codec = codec
        self._keys = keys
        self._topics = topics

    def of(self, event: RecordChanged | DirectoryChanged, traceparent: str) -> KafkaMessage:
        """The message, within one trace or beginning one. Raises `TooLarge` for more than its topic takes."""
        if isinstance(event, RecordChanged):
            topic, kind, subject = RECORD, "record-changed", self._keys.person_key(event.person)
        else:
            topic, kind, subject = DIRECTORY, "directory-changed", event.entry.shared_id
        value = self._codec.encode(event)
        if len(value) > self._topics[topic].max_message_bytes:
            raise TooLarge("What is said of one person is too large for one message: split it.")
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": str(event.event_id),
            "ce_type": f"uk.nhs.onestory.{kind}.v1",
            "ce_source": f"/organisations/{event.source.organisation}/systems/{event.source.system}",
            "ce_time": format_instant(event.published_at),
            "ce_subject": subject,
            "content-type": "application/avro",
            "traceparent": traceparent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
        }
        return KafkaMessage(
            topic, subject.encode(), value, [(name, text.encode()) for name, text in attributes.items()]
        )


log = structlog.get_logger()

T = TypeVar("T")

_entries = Counter("onestory_intake_entries", "Entries that were published or refused.", ["outcome"])
# Above this the work of one publish would be felt by the others that wait for the event loop.
LARGE_BODY = 256_000
# Clients and proxies read headers of a few kilobytes. In the answer to a large batch each entry's ETag is its event.
MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class PublishedSubmission:
    """What Kafka has acknowledged."""

    prepared: PreparedSubmission
    positions: Sequence[MessagePosition]

    @property
    def headers(self) -> dict[str, str]:
        """The first event ids and the position token, for the answer."""
        if not self.positions:
            return {}
        return {**_event_ids(self.prepared), "X-OneStory-Position": to_token(self.positions)}


@dataclass(frozen=True, slots=True)
class Seen:
    """What readers see of a publish: whether it was visible in time, and for which shared ids another one stands."""

    visible: bool = False
    superseded: frozenset[str] = frozenset()


class PublishHandler:
    """Publishes submissions."""

    def __init__(
        self, producer: Producer, messages: EventMessages, record: Database, visible: VisiblePositions
    ) -> None:
        self._producer = producer
        self._messages = messages
        self._record = record
        self._visible = visible
        self._repeats = Repeats()

    async def publish(
        self, submission: Submission, arrival: RequestContext, said: PublisherClaims, traceparent: str
    ) -> PublishedSubmission:
        """Publish it, or raise. `Unavailable` carries the event ids: the outcome is unknown, so repeat with the key."""
        body = submission.body
        opened = await _beside_if_large(body, lambda: open_submission(submission, arrival.door.base_url))
        reception = receive(arrival, said, opened.said())
        self._repeats.refuse_mix_up(submission, reception)
        known = await known_resources(self._record, opened.own_ids())
        if judged := opened.judged_ids() & known.keys():
            known |= await with_identities(self._record, {each: known[each] for each in judged})
        prepared, messages = await _beside_if_large(body, lambda: self._prepare(opened, reception, known, traceparent))
        await self._refuse_overwriting(prepared, reception.role)
        positions = await self._send(prepared, messages)
        self._repeats.remember(submission, reception)
        _record(prepared)
        return PublishedSubmission(prepared, positions)

    async def seen(self, published: PublishedSubmission, wait_s: int) -> Seen:
        """What readers see of it within the time. Raises `Unprocessable` when it was parked instead."""
        try:
            if not await self._visible.wait(published.positions, wait_s):
                return Seen()
            return Seen(True, await self._superseded(published.prepared))
        except OneStoryError as error:
            error.headers |= published.headers
            raise

    async def _superseded(self, prepared: PreparedSubmission) -> frozenset[str]:
        stated = [each for each in prepared.outcomes if isinstance(each, AcceptedEntry)]
        stands = await standing(self._record, stated)
        return frozenset(
            each.shared_id for each in stated if stands.get(each.shared_id, each.event_id) != each.event_id
        )

    def _prepare(
        self, opened: Opened, reception: Reception, known: dict[str, KnownResource], traceparent: str
    ) -> tuple[PreparedSubmission, list[KafkaMessage]]:
        prepared = prepare(opened, reception, known, uuid7)
        return prepared, [self._messages.of(event, traceparent) for event in prepared.events]

    async def _refuse_overwriting(self, prepared: PreparedSubmission, role: str) -> None:
        entries = [entry for event in prepared.events if isinstance(event, RecordChanged) for entry in event.entries]
        refuse_overwritten(await judgements(self._record, overwriting(entries, role)))

    async def _send(self, prepared: PreparedSubmission, messages: Sequence[KafkaMessage]) -> list[MessagePosition]:
        try:
            return await self._producer.send(messages) if messages else []
        except OneStoryError as error:
            error.headers |= _event_ids(prepared)
            log.warning("publish_unknown", event_ids=[str(event.event_id) for event in prepared.events[:10]])
            raise


async def _beside_if_large(body: bytes, work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if len(body) > LARGE_BODY else work()


def _event_ids(prepared: PreparedSubmission) -> dict[str, str]:
    return {"X-OneStory-Event-Id": ", ".join(str(event.event_id) for event in prepared.events[:MOST_NAMED])}


def _record(prepared: PreparedSubmission) -> None:
    accepted = sum(isinstance(outcome, AcceptedEntry) for outcome in prepared.outcomes)
    _entries.labels("accepted").inc(accepted)
    _entries.labels("refused").inc(len(prepared.outcomes) - accepted)
    ids = [str(event.event_id) for event in prepared.events[:10]]
    log.info("published", event_ids=ids, events=len(prepared.events), entries=accepted)


# What a submission of one person states, for another room that publishes it together with what it does itself.


class Statements:
    """Judges a submission as the door does, and publishes nothing."""

    def __init__(self, door: Door, record: Database) -> None:
        self._door = door
        self._record = record

    async def __call__(
        self, body: bytes, caller: Caller, correlation_id: str, key: str, received_at: datetime
    ) -> RecordChanged:
        """The event that a collection of one person is, with an entry for each of its own, in their order.

        Raises what the door refuses with. `key` is an idempotency key.
        """
        arrival = RequestContext(
            door=self._door,
            organisation=caller.organisation,
            system=caller.system,
            received_at=received_at,
            submission_id=uuid7(),
            correlation_id=correlation_id,
            idempotency_key=key,
            role=caller.role,
        )
        opened = open_submission(Submission("POST", body), self._door.base_url)
        known = await known_resources(self._record, opened.own_ids())
        if len(body) > LARGE_BODY:
            prepared = await asyncio.to_thread(_prepared, opened, arrival, known)
        else:
            prepared = _prepared(opened, arrival, known)
        (event,) = prepared.events
        assert isinstance(event, RecordChanged)
        refuse_overwritten(await judgements(self._record, overwriting(event.entries, caller.role)))
        return event


def _prepared(opened: Opened, arrival: RequestContext, known: Mapping[str, KnownResource]) -> PreparedSubmission:
    return prepare(opened, receive(arrival, PublisherClaims(), opened.said()), known, uuid7)
