"""One publish, in order: parse, look up, check conditions, prepare, send to Kafka, and only then answer.

`PublishHandler.publish` shows the whole way of a Bundle. `domain/parse.py` and `domain/prepare.py` decide without I/O.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from prometheus_client import Counter
from uuid_utils.compat import uuid7

from onestory.intake.condition_store import VisibleVersion
from onestory.intake.conditions import ConditionalWrites
from onestory.intake.domain.conditions import DecidedConditions
from onestory.intake.domain.judgement import ids_that_may_be_judgements, refuse_replacing_judgements
from onestory.intake.domain.parse import ParsedSubmission, combined_error, parse_submission
from onestory.intake.domain.prepare import prepare
from onestory.intake.domain.request import (
    AcceptedEntry,
    Deployment,
    KnownResource,
    PreparedSubmission,
    PublisherClaims,
    RefusedEntry,
    RequestContext,
    Submission,
    SubmissionContext,
    apply_claims,
)
from onestory.intake.keys import IdempotencyKeys
from onestory.intake.store import current_event_ids, current_judgements, known_resources, with_linked_identities
from onestory.shared.errors import OneStoryError, TooLarge
from onestory.shared.events import DirectoryChanged, RecordChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition, Producer
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC, Topic
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database
from onestory.shared.runtime import run_in_thread_if
from onestory.shared.visible_positions import VisiblePositions, position_token

log = structlog.get_logger()

_entries = Counter("onestory_intake_entries", "Entries that were published or refused.", ["outcome"])
# The work on a larger body would delay other requests that wait for the event loop, so it runs in a thread.
LARGE_BODY = 256_000
# Clients and proxies accept headers of a few kilobytes. For a larger batch the ETag of each entry names its event.
MAX_EVENT_IDS = 100


@dataclass(frozen=True, slots=True)
class PublishedSubmission:
    """A submission that Kafka has acknowledged, and the positions of its messages."""

    prepared: PreparedSubmission
    positions: Sequence[MessagePosition]
    visible_before: Mapping[str, VisibleVersion] | None = None
    """The versions that readers saw of the resources of each PUT, by shared id. None: PostgreSQL did not answer."""

    def created(self, entry: AcceptedEntry) -> bool:
        """Return whether this entry made a resource that its source did not have. False when that is not known."""
        if entry.method != "PUT" or self.visible_before is None:
            return entry.method == "POST"
        version = self.visible_before.get(entry.shared_id)
        # The version of this entry may be visible already, or from an earlier send of the same request.
        return version is None or (version.event_id == entry.event_id and not version.has_others)

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers with the first event ids and the position token."""
        if not self.positions:
            return {}
        return {**_event_id_header(self.prepared), "X-OneStory-Position": position_token(self.positions)}


@dataclass(frozen=True, slots=True)
class PublishVisibility:
    """Whether readers saw the publish within the wait.

    `superseded` are the shared ids whose current statement is another one of the same source.
    """

    visible: bool = False
    superseded: frozenset[str] = frozenset()


class PublishHandler:
    """Publishes submissions."""

    def __init__(
        self,
        producer: Producer,
        messages: EventMessages,
        record: Database,
        visible: VisiblePositions,
        keys: IdempotencyKeys,
        conditions: ConditionalWrites,
    ) -> None:
        self._producer = producer
        self._messages = messages
        self._record = record
        self._visible = visible
        self._keys = keys
        self._conditions = conditions

    async def publish(
        self, submission: Submission, request: RequestContext, header: PublisherClaims, traceparent: str
    ) -> PublishedSubmission:
        """Publish a submission, and return when all in-sync replicas have it.

        Raises the error that refuses it. `Unavailable` after the send means that the outcome is unknown. Its headers
        then name the events, and the publisher must repeat the request with the same idempotency key.
        """
        large = len(submission.body) > LARGE_BODY
        parsed = await run_in_thread_if(large, lambda: parse_submission(submission, request.deployment.base_url))
        context = apply_claims(request, header, parsed.claims())
        known = await known_resources(self._record, parsed.shared_ids())
        if judged := parsed.judged_ids() & known.keys():
            known |= await with_linked_identities(self._record, {shared_id: known[shared_id] for shared_id in judged})
        decided, reservations = await self._conditions.decide(parsed, context, known, large=large)
        try:
            prepared, messages = await self._prepare(parsed, context, known, traceparent, decided)
            await self._refuse_replacing_judgements(prepared, context.role)
            await self._keys.use(submission, context)
        except BaseException:
            await self._conditions.release(reservations)
            raise
        positions, visible_before = await asyncio.gather(
            self._send(prepared, messages), self._conditions.visible_before(prepared)
        )
        await self._conditions.set_position(reservations, position_token(positions))
        _log_published(prepared)
        return PublishedSubmission(prepared, positions, visible_before)

    async def wait_until_visible(self, published: PublishedSubmission, wait_s: int) -> PublishVisibility:
        """Return what readers see within `wait_s` seconds. Raises `Unprocessable` when a message was parked instead."""
        try:
            if not await self._visible.wait(published.positions, wait_s):
                return PublishVisibility()
            return PublishVisibility(True, await self._superseded(published.prepared))
        except OneStoryError as error:
            error.headers |= published.headers
            raise

    async def _superseded(self, prepared: PreparedSubmission) -> frozenset[str]:
        entries = [outcome for outcome in prepared.outcomes if isinstance(outcome, AcceptedEntry)]
        current = await current_event_ids(self._record, entries)
        return frozenset(
            entry.shared_id for entry in entries if current.get(entry.shared_id, entry.event_id) != entry.event_id
        )

    async def _prepare(
        self,
        parsed: ParsedSubmission,
        context: SubmissionContext,
        known: Mapping[str, KnownResource],
        traceparent: str,
        decided: DecidedConditions,
    ) -> tuple[PreparedSubmission, list[KafkaMessage]]:
        """Return the events and their messages. Entries of a batch whose preconditions do not hold are refused."""

        def prepared_with(conditions: DecidedConditions) -> tuple[PreparedSubmission, list[KafkaMessage]]:
            prepared = prepare(parsed, context, known, uuid7, conditions)
            return prepared, [self._messages.message(event, traceparent) for event in prepared.events]

        large = len(parsed.body) > LARGE_BODY
        prepared, messages = await run_in_thread_if(large, lambda: prepared_with(decided))
        failed = await self._conditions.precondition_errors(parsed, prepared, context)
        if not failed:
            return prepared, messages
        if not parsed.is_batch:
            raise combined_error(list(failed.values())) if len(failed) > 1 else next(iter(failed.values()))
        refused = DecidedConditions(decided.matches, {**decided.errors, **failed})
        return await run_in_thread_if(large, lambda: prepared_with(refused))

    async def _refuse_replacing_judgements(self, prepared: PreparedSubmission, role: str) -> None:
        entries = [entry for event in prepared.events if isinstance(event, RecordChanged) for entry in event.entries]
        shared_ids = ids_that_may_be_judgements(entries, role)
        refuse_replacing_judgements(await current_judgements(self._record, shared_ids))

    async def _send(self, prepared: PreparedSubmission, messages: Sequence[KafkaMessage]) -> list[MessagePosition]:
        try:
            return await self._producer.send(messages) if messages else []
        except OneStoryError as error:
            error.headers |= _event_id_header(prepared)
            log.warning("publish_outcome_unknown", event_ids=[str(event.event_id) for event in prepared.events[:10]])
            raise


def _event_id_header(prepared: PreparedSubmission) -> dict[str, str]:
    return {"X-OneStory-Event-Id": ", ".join(str(event.event_id) for event in prepared.events[:MAX_EVENT_IDS])}


def _log_published(prepared: PreparedSubmission) -> None:
    accepted = sum(isinstance(outcome, AcceptedEntry) for outcome in prepared.outcomes)
    refused = sum(isinstance(outcome, RefusedEntry) for outcome in prepared.outcomes)
    _entries.labels("accepted").inc(accepted)
    _entries.labels("refused").inc(refused)
    ids = [str(event.event_id) for event in prepared.events[:10]]
    log.info("published", event_ids=ids, events=len(prepared.events), entries=accepted)


class EventMessages:
    """Makes Kafka messages of events: key, Avro value, and CloudEvents 1.0 attributes as headers."""

    def __init__(self, codec: Codec, keys: Keys, topics: Mapping[str, Topic]) -> None:
        self._codec = codec
        self._keys = keys
        self._topics = topics

    def message(self, event: RecordChanged | DirectoryChanged, traceparent: str) -> KafkaMessage:
        """Return the message of an event. An empty `traceparent` begins a new trace.

        Raises `TooLarge` when the value is larger than the topic allows.
        """
        if isinstance(event, RecordChanged):
            topic, kind, subject = RECORD_TOPIC, "record-changed", self._keys.person_key(event.person)
        else:
            topic, kind, subject = DIRECTORY_TOPIC, "directory-changed", event.entry.shared_id
        value = self._codec.encode(event)
        if len(value) > self._topics[topic].max_message_bytes:
            raise TooLarge("The event of one person is too large for one Kafka message. Split the submission.")
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


class RecordEventBuilder:
    """Builds the event of a Bundle about one person, by the rules of a publish, without sending it.

    Another service publishes the event together with its own.
    """

    def __init__(self, deployment: Deployment, record: Database) -> None:
        self._deployment = deployment
        self._record = record

    async def __call__(
        self, body: bytes, caller: Caller, correlation_id: str, key: str, received_at: datetime
    ) -> RecordChanged:
        """Return the event of a Bundle of type collection about one person, with its entries in their order.

        `key` is an idempotency key. Raises the errors of a publish.
        """
        request = RequestContext(
            deployment=self._deployment,
            organisation=caller.organisation,
            system=caller.system,
            received_at=received_at,
            submission_id=uuid7(),
            correlation_id=correlation_id,
            idempotency_key=key,
            role=caller.role,
        )
        parsed = parse_submission(Submission("POST", body), self._deployment.base_url)
        known = await known_resources(self._record, parsed.shared_ids())
        prepared = await run_in_thread_if(
            len(body) > LARGE_BODY,
            lambda: prepare(parsed, apply_claims(request, PublisherClaims(), parsed.claims()), known, uuid7),
        )
        (event,) = prepared.events
        assert isinstance(event, RecordChanged)
        shared_ids = ids_that_may_be_judgements(event.entries, caller.role)
        refuse_replacing_judgements(await current_judgements(self._record, shared_ids))
        return event
