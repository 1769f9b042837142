"""One publish, in order: parse, look up, check conditions, prepare, send to Kafka, and only then answer.

`PublishHandler.publish` shows the whole way of a Bundle. `preparation.py` runs `domain/parse.py` and
`domain/prepare.py`, which decide without I/O. `lookups.py` asks what the record knows, `conditions.py` whether the
conditions of a write hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Counter
from uuid_utils.compat import uuid7

from onestory.intake.condition_store import VisibleVersion
from onestory.intake.conditions import ConditionalWrites
from onestory.intake.domain.conditions import DecidedConditions
from onestory.intake.domain.judgement import refuse_replacing_judgements
from onestory.intake.domain.parse import combined_error
from onestory.intake.domain.request import (
    AcceptedEntry,
    Deployment,
    PreparedSubmission,
    PublisherClaims,
    RefusedEntry,
    RequestContext,
    Submission,
    apply_claims,
)
from onestory.intake.keys import IdempotencyKeys
from onestory.intake.lookups import SubmissionDecider, SubmissionPreparer
from onestory.intake.preparation import LookupFacts, PreparedMessages
from onestory.intake.store import current_event_ids, current_judgements
from onestory.shared.errors import OneStoryError
from onestory.shared.events import RecordChanged
from onestory.shared.kafka.producer import MessagePosition, Producer
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database
from onestory.shared.turns import without_turn
from onestory.shared.visible_positions import VisiblePositions, position_token

log = structlog.get_logger()

_entries = Counter("onestory_intake_entries", "Entries that were published or refused.", ["outcome"])
# Clients and proxies accept headers of a few kilobytes. For a larger batch the ETag of each entry names its event.
MAX_EVENT_IDS = 100


@dataclass(frozen=True, slots=True)
class PublishedSubmission:
    """A submission that Kafka has acknowledged, and the positions of its messages."""

    prepared: PreparedSubmission
    event_ids: Sequence[UUID]
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
        return {**_event_id_header(self.event_ids), "X-OneStory-Position": position_token(self.positions)}


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
        preparer: SubmissionPreparer,
        record: Database,
        visible: VisiblePositions,
        keys: IdempotencyKeys,
        conditions: ConditionalWrites,
    ) -> None:
        self._producer = producer
        self._preparer = preparer
        self._record = record
        self._visible = visible
        self._keys = keys
        self._conditions = conditions

    async def publish(
        self,
        submission: Submission,
        request: RequestContext,
        header: PublisherClaims,
        traceparent: str,
        caller: Caller,
    ) -> PublishedSubmission:
        """Publish a submission, and return when all in-sync replicas have it. A dry run publishes nothing.

        Raises the error that refuses it. `Unavailable` after the send means that the outcome is unknown. Its headers
        then name the events, and the publisher must repeat the request with the same idempotency key.
        """
        async with self._preparer.preparation_of(submission.body, caller) as preparation:
            facts = await preparation.parse(submission, request.deployment)
            context = apply_claims(request, header, facts.claims)
            decider = await self._preparer.decider(preparation, facts, context, caller, traceparent=traceparent)
            decided, reservations = await self._conditions.decide(facts.conditional, decider.scopes, context)
            try:
                ready = await self._ready(decider, decided, facts)
                refuse_replacing_judgements(await current_judgements(self._record, ready.possible_judgements))
                if not submission.dry_run:
                    await self._keys.use(submission, context)
                    # The last step before the send.
                    await self._conditions.renew(reservations)
            except BaseException:
                await self._conditions.release(reservations)
                raise
        if submission.dry_run:
            await self._conditions.release(reservations)
            return PublishedSubmission(ready.prepared, ready.event_ids, [])
        positions, visible_before = await asyncio.gather(
            self._send(ready), self._conditions.visible_before(ready.prepared)
        )
        await self._conditions.set_position(reservations, position_token(positions))
        _log_published(ready)
        return PublishedSubmission(ready.prepared, ready.event_ids, positions, visible_before)

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

    async def _ready(
        self, decider: SubmissionDecider, decided: DecidedConditions, facts: LookupFacts
    ) -> PreparedMessages:
        """Return what is ready to send. Entries of a batch whose preconditions do not hold are refused."""
        ready = await decider.decide(decided)
        failed = await self._conditions.precondition_errors(facts.preconditions, ready.prepared, decider.context)
        if not failed:
            return ready
        if not facts.is_batch:
            raise combined_error(list(failed.values())) if len(failed) > 1 else next(iter(failed.values()))
        return await decider.decide(DecidedConditions(decided.matches, {**decided.errors, **failed}))

    async def _send(self, ready: PreparedMessages) -> list[MessagePosition]:
        try:
            # Without Kafka this takes some seconds. Other requests of the caller must not wait for them.
            async with without_turn():
                return await self._producer.send(ready.messages) if ready.messages else []
        except OneStoryError as error:
            error.headers |= _event_id_header(ready.event_ids)
            log.warning("publish_outcome_unknown", event_ids=list(map(str, ready.event_ids[:10])))
            raise


def _event_id_header(event_ids: Sequence[UUID]) -> dict[str, str]:
    return {"X-OneStory-Event-Id": ", ".join(map(str, event_ids[:MAX_EVENT_IDS]))}


def _log_published(ready: PreparedMessages) -> None:
    outcomes = ready.prepared.outcomes
    accepted, refused = (
        sum(isinstance(outcome, kind) for outcome in outcomes) for kind in (AcceptedEntry, RefusedEntry)
    )
    _entries.labels("accepted").inc(accepted)
    _entries.labels("refused").inc(refused)
    ids = list(map(str, ready.event_ids[:10]))
    log.info("published", event_ids=ids, events=len(ready.event_ids), entries=accepted)


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
        async with self._preparer.preparation_of(body, caller) as preparation:
            facts = await preparation.parse(Submission("POST", body), self._deployment)
            context = apply_claims(request, PublisherClaims(), facts.claims)
            decider = await self._preparer.decider(preparation, facts, context, caller, as_event=True)
            ready = await decider.decide()
        refuse_replacing_judgements(await current_judgements(self._record, ready.possible_judgements))
        assert ready.event is not None
        return ready.event
