"""The pure part of a publish in two steps, for small bodies in the event loop and for large ones in a worker process.

Between the steps `publish.py` looks up what the record knows. The parsed submission stays where it was parsed: only the
facts that the lookup needs and the finished messages cross to `serve`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from uuid_utils.compat import uuid7

from onestory.intake.domain.judgement import ids_that_may_be_judgements
from onestory.intake.domain.parse import ParsedSubmission, parse_submission
from onestory.intake.domain.prepare import prepare
from onestory.intake.domain.request import (
    Deployment,
    KnownResource,
    PreparedSubmission,
    PublisherClaims,
    Submission,
    SubmissionContext,
)
from onestory.shared.errors import TooLarge
from onestory.shared.events import DirectoryChanged, RecordChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.size import refuse_too_many_entries
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import KafkaMessage
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC, Topic
from onestory.shared.worker_processes import LARGE_BODY, WorkerMemory, WorkerProcesses, WorkerTask


@dataclass(frozen=True, slots=True)
class LookupFacts:
    """The facts of a parsed submission that decide what is looked up: see `ParsedSubmission`."""

    claims: PublisherClaims
    shared_ids: frozenset[str]
    judged_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class PreparedMessages:
    """A prepared submission, its messages for Kafka, and the ids of their events in the same order.

    `prepared` has no events any more. `possible_judgements` are the shared ids that must not replace a judgement.
    """

    prepared: PreparedSubmission
    event_ids: Sequence[UUID]
    messages: Sequence[KafkaMessage]
    possible_judgements: frozenset[str]


class Preparation(Protocol):
    """The two steps. `parse` comes first."""

    async def parse(self, submission: Submission, deployment: Deployment) -> LookupFacts:
        """Parse a submission. Raises the errors of `parse_submission`."""

    async def prepare(
        self, context: SubmissionContext, known: Mapping[str, KnownResource], traceparent: str
    ) -> PreparedMessages:
        """Prepare what was parsed. Raises the errors of `prepare`, and `TooLarge` for an event that is too large."""

    async def event(self, context: SubmissionContext, known: Mapping[str, KnownResource]) -> RecordChanged:
        """Return the one event of a submission about one person, with its entries."""


@asynccontextmanager
async def preparation_of(
    body: bytes, caller: str, messages: EventMessages, workers: WorkerProcesses
) -> AsyncIterator[Preparation]:
    """Choose where a body is prepared. `caller` names whose large bodies wait for each other."""
    if len(body) <= LARGE_BODY:
        yield _InEventLoop(messages)
    else:
        async with workers.task(caller) as task:
            yield _InWorker(messages, task)


class _InEventLoop:
    def __init__(self, messages: EventMessages) -> None:
        self._messages = messages
        self._memory = WorkerMemory()

    async def parse(self, submission: Submission, deployment: Deployment) -> LookupFacts:
        return _parse(self._memory, submission, deployment)

    async def prepare(
        self, context: SubmissionContext, known: Mapping[str, KnownResource], traceparent: str
    ) -> PreparedMessages:
        return _prepare(self._memory, self._messages, context, known, traceparent)

    async def event(self, context: SubmissionContext, known: Mapping[str, KnownResource]) -> RecordChanged:
        return _event(self._memory, context, known)


class _InWorker:
    def __init__(self, messages: EventMessages, task: WorkerTask) -> None:
        self._messages = messages
        self._task = task

    async def parse(self, submission: Submission, deployment: Deployment) -> LookupFacts:
        return await self._task.call(_parse, submission, deployment)

    async def prepare(
        self, context: SubmissionContext, known: Mapping[str, KnownResource], traceparent: str
    ) -> PreparedMessages:
        return await self._task.call(_prepare, self._messages, context, known, traceparent)

    async def event(self, context: SubmissionContext, known: Mapping[str, KnownResource]) -> RecordChanged:
        return await self._task.call(_event, context, known)


def _parse(memory: WorkerMemory, submission: Submission, deployment: Deployment) -> LookupFacts:
    refuse_too_many_entries(submission.body, deployment.max_bundle_entries)
    parsed = memory.value = parse_submission(submission, deployment.base_url)
    return LookupFacts(parsed.claims(), frozenset(parsed.shared_ids()), frozenset(parsed.judged_ids()))


def _prepare(
    memory: WorkerMemory,
    messages: EventMessages,
    context: SubmissionContext,
    known: Mapping[str, KnownResource],
    traceparent: str,
) -> PreparedMessages:
    prepared = _prepared(memory, context, known)
    entries = [entry for event in prepared.events if isinstance(event, RecordChanged) for entry in event.entries]
    return PreparedMessages(
        replace(prepared, events=()),
        [event.event_id for event in prepared.events],
        [messages.message(event, traceparent) for event in prepared.events],
        frozenset(ids_that_may_be_judgements(entries, context.role)),
    )


def _event(memory: WorkerMemory, context: SubmissionContext, known: Mapping[str, KnownResource]) -> RecordChanged:
    (event,) = _prepared(memory, context, known).events
    assert isinstance(event, RecordChanged)
    return event


def _prepared(
    memory: WorkerMemory, context: SubmissionContext, known: Mapping[str, KnownResource]
) -> PreparedSubmission:
    parsed, memory.value = memory.value, None
    assert isinstance(parsed, ParsedSubmission)
    return prepare(parsed, context, known, uuid7)


class EventMessages:
    """Makes Kafka messages of events: key, Avro value, and CloudEvents 1.0 attributes as headers."""

    def __init__(self, codec: Codec, keys: Keys, topics: Mapping[str, Topic]) -> None:
        self._codec = codec
        self._keys = keys
        self._topics = dict(topics)

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
