"""The pure part of a publish in two steps, for small bodies in the event loop and for large ones in a worker process.

Between the steps `lookups.py` asks what the record knows. The parsed submission stays where it was parsed: only the
facts that the lookup needs, the decision's questions and the finished messages cross to `serve`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from uuid_utils.compat import uuid7

from onestory.intake.domain.conditions import NO_CONDITIONS, ConditionalItem, DecidedConditions, Precondition
from onestory.intake.domain.earlier import Answer, EarlierStatements, Question
from onestory.intake.domain.judgement import ids_that_may_be_judgements
from onestory.intake.domain.parse import ParsedSubmission, parse_submission
from onestory.intake.domain.prepare import condition_scopes, prepare
from onestory.intake.domain.request import (
    Deployment,
    KnownResource,
    PreparedSubmission,
    PublisherClaims,
    Submission,
    SubmissionContext,
)
from onestory.shared.errors import OneStoryError, TooLarge
from onestory.shared.events import DirectoryChanged, RecordChanged
from onestory.shared.fhir.outcome import MAX_ISSUES
from onestory.shared.fhir.size import refuse_too_many_entries
from onestory.shared.identity import Keys, PersonIdentifier
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.messages import event_headers
from onestory.shared.kafka.producer import KafkaMessage
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC, Topic
from onestory.shared.worker_processes import LARGE_BODY, WorkerMemory, WorkerProcesses, WorkerTask


@dataclass(frozen=True, slots=True)
class LookupFacts:
    """The facts of a parsed submission that decide what is looked up: see `ParsedSubmission`.

    `conditional` are the items whose identifier is a condition. `preconditions` are those of items, by index.
    """

    claims: PublisherClaims
    shared_ids: frozenset[str]
    judged_ids: frozenset[str]
    is_batch: bool = False
    conditional: tuple[ConditionalItem, ...] = ()
    preconditions: Mapping[int, Precondition] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreparedMessages:
    """A prepared submission, its messages for Kafka, and the ids of their events in the same order.

    `prepared` has no events any more. `possible_judgements` are the shared ids that must not replace a judgement.
    `event` is the one event about a person, where it was asked for instead of messages.
    """

    prepared: PreparedSubmission
    event_ids: Sequence[UUID]
    messages: Sequence[KafkaMessage]
    possible_judgements: frozenset[str]
    event: RecordChanged | None = None


@dataclass(frozen=True, slots=True)
class PreparedDecision:
    """The outcome of one run of the decision: what is ready to send, or the error that refuses the submission.

    `asked` are its questions about the source's earlier statements, with the answers on which it went on.
    """

    outcome: PreparedMessages | OneStoryError
    asked: Mapping[Question, Answer]

    def result(self) -> PreparedMessages:
        """Return what is ready to send, or raise the error."""
        if isinstance(self.outcome, OneStoryError):
            raise self.outcome
        return self.outcome


@dataclass(frozen=True, slots=True)
class DecisionInput:
    """What a decision goes by beside the parsed submission. `as_event`: return the event instead of messages."""

    context: SubmissionContext
    known: Mapping[str, KnownResource]
    earlier: EarlierStatements
    traceparent: str = ""
    as_event: bool = False
    conditions: DecidedConditions = NO_CONDITIONS


class Preparation(Protocol):
    """The two steps. `parse` comes first. `decide` may run several times."""

    async def parse(self, submission: Submission, deployment: Deployment) -> LookupFacts:
        """Parse a submission. Raises the errors of `parse_submission`."""

    async def decide(self, given: DecisionInput) -> PreparedDecision:
        """Prepare what was parsed. An event that is too large is refused with `TooLarge`."""

    async def scopes(self, given: DecisionInput) -> Mapping[int, PersonIdentifier | None]:
        """Return where the resource of each condition would be: see `condition_scopes`."""


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

    async def decide(self, given: DecisionInput) -> PreparedDecision:
        return _decide(self._memory, self._messages, given)

    async def scopes(self, given: DecisionInput) -> Mapping[int, PersonIdentifier | None]:
        return _scopes(self._memory, given)


class _InWorker:
    def __init__(self, messages: EventMessages, task: WorkerTask) -> None:
        self._messages = messages
        self._task = task

    async def parse(self, submission: Submission, deployment: Deployment) -> LookupFacts:
        return await self._task.call(_parse, submission, deployment)

    async def decide(self, given: DecisionInput) -> PreparedDecision:
        return await self._task.call(_decide, self._messages, given)

    async def scopes(self, given: DecisionInput) -> Mapping[int, PersonIdentifier | None]:
        return await self._task.call(_scopes, given)


def _parse(memory: WorkerMemory, submission: Submission, deployment: Deployment) -> LookupFacts:
    refuse_too_many_entries(submission.body, deployment.max_bundle_entries)
    parsed = memory.value = parse_submission(submission, deployment.base_url)
    return LookupFacts(
        parsed.claims(),
        frozenset(parsed.shared_ids()),
        frozenset(parsed.judged_ids()),
        parsed.is_batch,
        tuple(item.as_conditional() for item in parsed.items if item.identifier),
        {item.index: item.precondition for item in parsed.items if item.precondition},
    )


def _scopes(memory: WorkerMemory, given: DecisionInput) -> Mapping[int, PersonIdentifier | None]:
    assert isinstance(memory.value, ParsedSubmission)
    return condition_scopes(memory.value, given.context, given.known, given.earlier, given.conditions)


def _decide(memory: WorkerMemory, messages: EventMessages, given: DecisionInput) -> PreparedDecision:
    assert isinstance(memory.value, ParsedSubmission)
    try:
        prepared = prepare(
            memory.value, given.context, given.known, uuid7, earlier=given.earlier, conditions=given.conditions
        )
        return PreparedDecision(_ready(prepared, messages, given), given.earlier.questions)
    except OneStoryError as error:
        # The answer lists the first issues only. A small body can have millions of them.
        error.issues = error.issues[: MAX_ISSUES + 1]
        return PreparedDecision(error.with_traceback(None), given.earlier.questions)


def _ready(prepared: PreparedSubmission, messages: EventMessages, given: DecisionInput) -> PreparedMessages:
    entries = [entry for event in prepared.events if isinstance(event, RecordChanged) for entry in event.entries]
    ready = PreparedMessages(
        replace(prepared, events=()),
        [event.event_id for event in prepared.events],
        [] if given.as_event else [messages.message(event, given.traceparent) for event in prepared.events],
        frozenset(ids_that_may_be_judgements(entries, given.context.role)),
    )
    if not given.as_event:
        return ready
    (event,) = prepared.events
    assert isinstance(event, RecordChanged)
    return replace(ready, event=event)


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
            topic, key = RECORD_TOPIC, self._keys.person_key(event.person).encode()
        else:
            topic, key = DIRECTORY_TOPIC, event.entry.shared_id.encode()
        value = self._codec.encode(event)
        if len(value) > self._topics[topic].max_message_bytes:
            raise TooLarge("The event of one person is too large for one Kafka message. Split the submission.")
        trace = traceparent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
        return KafkaMessage(topic, key, value, event_headers(event, key, trace))
