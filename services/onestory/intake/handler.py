"""One publish: decide, write to Kafka, and only then say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from prometheus_client import Counter
from uuid_utils.compat import uuid7

from onestory.intake.domain.judgement import overwriting, refuse_overwritten
from onestory.intake.domain.opening import Opened, open_submission
from onestory.intake.domain.prepare import prepare
from onestory.intake.domain.reception import Arrival, receive
from onestory.intake.domain.submission import Accepted, Known, Prepared, Reception, Said, Submission
from onestory.intake.messages import Messages
from onestory.intake.repeats import Repeats
from onestory.intake.store import judgements, known_resources, standing, with_identities
from onestory.shared.database import Database
from onestory.shared.errors import OneStoryError
from onestory.shared.events import RecordChanged
from onestory.shared.producer import Message, Position, Producer
from onestory.shared.visibility import VisiblePositions, to_token

log = structlog.get_logger()

T = TypeVar("T")

_entries = Counter("onestory_intake_entries", "Entries that were published or refused.", ["outcome"])
# Above this the work of one publish would be felt by the others that wait for the event loop.
LARGE_BODY = 256_000
# Clients and proxies read headers of a few kilobytes. In the answer to a large batch each entry's ETag is its event.
MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Published:
    """What Kafka has acknowledged."""

    prepared: Prepared
    positions: Sequence[Position]

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


class Handler:
    """Publishes submissions."""

    def __init__(self, producer: Producer, messages: Messages, record: Database, visible: VisiblePositions) -> None:
        self._producer = producer
        self._messages = messages
        self._record = record
        self._visible = visible
        self._repeats = Repeats()

    async def publish(self, submission: Submission, arrival: Arrival, said: Said, traceparent: str) -> Published:
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
        return Published(prepared, positions)

    async def seen(self, published: Published, wait_s: int) -> Seen:
        """What readers see of it within the time. Raises `Unprocessable` when it was parked instead."""
        try:
            if not await self._visible.wait(published.positions, wait_s):
                return Seen()
            return Seen(True, await self._superseded(published.prepared))
        except OneStoryError as error:
            error.headers |= published.headers
            raise

    async def _superseded(self, prepared: Prepared) -> frozenset[str]:
        stated = [each for each in prepared.outcomes if isinstance(each, Accepted)]
        stands = await standing(self._record, stated)
        return frozenset(
            each.shared_id for each in stated if stands.get(each.shared_id, each.event_id) != each.event_id
        )

    def _prepare(
        self, opened: Opened, reception: Reception, known: dict[str, Known], traceparent: str
    ) -> tuple[Prepared, list[Message]]:
        prepared = prepare(opened, reception, known, uuid7)
        return prepared, [self._messages.of(event, traceparent) for event in prepared.events]

    async def _refuse_overwriting(self, prepared: Prepared, role: str) -> None:
        entries = [entry for event in prepared.events if isinstance(event, RecordChanged) for entry in event.entries]
        refuse_overwritten(await judgements(self._record, overwriting(entries, role)))

    async def _send(self, prepared: Prepared, messages: Sequence[Message]) -> list[Position]:
        try:
            return await self._producer.send(messages) if messages else []
        except OneStoryError as error:
            error.headers |= _event_ids(prepared)
            log.warning("publish_unknown", event_ids=[str(event.event_id) for event in prepared.events[:10]])
            raise


async def _beside_if_large(body: bytes, work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if len(body) > LARGE_BODY else work()


def _event_ids(prepared: Prepared) -> dict[str, str]:
    return {"X-OneStory-Event-Id": ", ".join(str(event.event_id) for event in prepared.events[:MOST_NAMED])}


def _record(prepared: Prepared) -> None:
    accepted = sum(isinstance(outcome, Accepted) for outcome in prepared.outcomes)
    _entries.labels("accepted").inc(accepted)
    _entries.labels("refused").inc(len(prepared.outcomes) - accepted)
    ids = [str(event.event_id) for event in prepared.events[:10]]
    log.info("published", event_ids=ids, events=len(prepared.events), entries=accepted)
