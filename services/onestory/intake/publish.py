"""One publish, in order: parse, look up, prepare, send to Kafka, and only then answer.

`PublishHandler.publish` shows the whole way of a Bundle. `domain/parse.py` and `domain/prepare.py` decide without I/O.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from cachetools import FIFOCache
from prometheus_client import Counter
from uuid_utils.compat import uuid7

from onestory.intake.domain.judgement import ids_that_may_be_judgements, refuse_replacing_judgements
from onestory.intake.domain.parse import parse_submission
from onestory.intake.domain.request import (
    AcceptedEntry,
    Deployment,
    PreparedSubmission,
    PublisherClaims,
    RefusedEntry,
    RequestContext,
    Submission,
    SubmissionContext,
    apply_claims,
)
from onestory.intake.lookups import LARGE_BODY, SubmissionPreparer
from onestory.intake.store import current_event_ids, current_judgements
from onestory.shared.errors import OneStoryError, TooLarge, Unprocessable
from onestory.shared.events import DirectoryChanged, RecordChanged
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.messages import event_headers
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition, Producer
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC, Topic
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database
from onestory.shared.runtime import run_in_thread_if
from onestory.shared.visible_positions import VisiblePositions, position_token

log = structlog.get_logger()

_entries = Counter("onestory_intake_entries", "Entries that were published or refused.", ["outcome"])
# Clients and proxies accept headers of a few kilobytes. For a larger batch the ETag of each entry names its event.
MAX_EVENT_IDS = 100
_MAX_KEYS = 20_000


@dataclass(frozen=True, slots=True)
class PublishedSubmission:
    """A submission that Kafka has acknowledged, and the positions of its messages."""

    prepared: PreparedSubmission
    positions: Sequence[MessagePosition]

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
        preparer: SubmissionPreparer,
    ) -> None:
        self._preparer = preparer
        self._producer = producer
        self._messages = messages
        self._record = record
        self._visible = visible
        self._published_keys = PublishedKeys()

    async def publish(
        self,
        submission: Submission,
        request: RequestContext,
        header: PublisherClaims,
        traceparent: str,
        caller: Caller,
    ) -> PublishedSubmission:
        """Publish a submission, and return when all in-sync replicas have it.

        Raises the error that refuses it. `Unavailable` after the send means that the outcome is unknown. Its headers
        then name the events, and the publisher must repeat the request with the same idempotency key.
        """
        large = len(submission.body) > LARGE_BODY
        parsed = await run_in_thread_if(large, lambda: parse_submission(submission, request.deployment.base_url))
        context = apply_claims(request, header, parsed.claims())
        self._published_keys.refuse_other_content(submission, context)
        prepared = await self._preparer.prepare(parsed, context, caller)
        messages = await run_in_thread_if(
            large, lambda: [self._messages.message(event, traceparent) for event in prepared.events]
        )
        await self._refuse_replacing_judgements(prepared, context.role)
        if submission.dry_run:
            return PublishedSubmission(prepared, [])
        positions = await self._send(prepared, messages)
        self._published_keys.add(submission, context)
        _log_published(prepared)
        return PublishedSubmission(prepared, positions)

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
    accepted, refused = (
        sum(isinstance(outcome, kind) for outcome in prepared.outcomes) for kind in (AcceptedEntry, RefusedEntry)
    )
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
            topic, key = RECORD_TOPIC, self._keys.person_key(event.person).encode()
        else:
            topic, key = DIRECTORY_TOPIC, event.entry.shared_id.encode()
        value = self._codec.encode(event)
        if len(value) > self._topics[topic].max_message_bytes:
            raise TooLarge("The event of one person is too large for one Kafka message. Split the submission.")
        trace = traceparent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
        return KafkaMessage(topic, key, value, event_headers(event, key, trace))


class PublishedKeys:
    """The latest idempotency keys that this process has published, each with a digest of its content.

    A repetition with the same content is harmless. The projector notices a repetition of an older key.
    """

    def __init__(self, max_keys: int = _MAX_KEYS) -> None:
        self._digests: FIFOCache[tuple[str, str, str], bytes] = FIFOCache(max_keys)

    def refuse_other_content(self, submission: Submission, context: SubmissionContext) -> None:
        """Raise `Unprocessable` when the same source has published other content with this key."""
        digest = self._digests.get(_key_of_source(context))
        if digest is not None and digest != _digest(submission, context):
            text = "Idempotency-Key: this key was used with other content. Send a new key for new content."
            raise Unprocessable(text, code="duplicate")

    def add(self, submission: Submission, context: SubmissionContext) -> None:
        """Add the key of a submission that was published. The oldest key goes when there are too many."""
        if context.idempotency_key:
            self._digests[_key_of_source(context)] = _digest(submission, context)


def _key_of_source(context: SubmissionContext) -> tuple[str, str, str]:
    return context.source.organisation, context.source.system, context.idempotency_key


def _digest(submission: Submission, context: SubmissionContext) -> bytes:
    url = (submission.method, submission.resource_type, submission.resource_id, submission.search)
    claims = (submission.if_none_exist, str(context.sequence), context.replaced_system, *sorted(context.complete_types))
    digest = hashlib.sha256("\0".join((*url, *claims, "")).encode())
    digest.update(submission.body)
    return digest.digest()


class RecordEventBuilder:
    """Builds the event of a Bundle about one person, by the rules of a publish, without sending it.

    Another service publishes the event together with its own.
    """

    def __init__(self, deployment: Deployment, record: Database, preparer: SubmissionPreparer) -> None:
        self._deployment = deployment
        self._record = record
        self._preparer = preparer

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
            is_system_fixed=caller.has_system_claim,
        )
        parsed = parse_submission(Submission("POST", body), self._deployment.base_url)
        context = apply_claims(request, PublisherClaims(), parsed.claims())
        prepared = await self._preparer.prepare(parsed, context, caller)
        (event,) = prepared.events
        assert isinstance(event, RecordChanged)
        shared_ids = ids_that_may_be_judgements(event.entries, caller.role)
        refuse_replacing_judgements(await current_judgements(self._record, shared_ids))
        return event
