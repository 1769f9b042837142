"""Fakes of the services that intake needs: a Kafka producer, the record's database, and visible positions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from tests.unit.intake.door import KEYS

from onestory.intake.domain.request import KnownResource
from onestory.intake.preparation import EventMessages
from onestory.intake.publish import PublishHandler
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition, Producer
from onestory.shared.kafka.schemas import topics
from onestory.shared.postgres.database import Database
from onestory.shared.visible_positions import VisiblePositions
from onestory.shared.worker_processes import WorkerLimits, WorkerProcesses


class FakeBroker(Producer):
    """Keeps the messages that are sent. `away` makes every outcome unknown."""

    def __init__(self) -> None:
        self.sent: list[KafkaMessage] = []
        self.away = False

    async def send(self, messages: Sequence[KafkaMessage]) -> list[MessagePosition]:
        if self.away:
            raise Unavailable("Kafka did not acknowledge in time.")
        offsets = itertools.count(len(self.sent))
        self.sent += messages
        return [MessagePosition(message.topic, 0, next(offsets)) for message in messages]


class FakeRecord(Database):
    """Answers the two queries that intake sends to the record. `away` makes the database unavailable."""

    def __init__(self) -> None:
        self.known: dict[str, KnownResource] = {}
        self.stands: dict[str, UUID] = {}
        self.away = False
        self.asked = 0

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        shared_ids = arguments[-1]
        assert isinstance(shared_ids, list)
        self.asked += 1
        if self.away:
            raise Unavailable("PostgreSQL does not answer. Try again.")
        if "standing_statement" in query:
            return [{"shared_id": each, "event_id": self.stands[each]} for each in shared_ids if each in self.stands]
        return [_row(each, self.known[each]) for each in shared_ids if each in self.known]


def _row(shared_id: str, known: KnownResource) -> Mapping[str, str]:
    return {
        "shared_id": shared_id,
        "person_system": known.person.system,
        "person_value": known.person.value,
        "organisation": known.source.organisation,
        "system": known.source.system,
        "resource_type": known.resource_type,
        "local_id": known.local_id,
    }


class FakeVisibility(VisiblePositions):
    """Returns at once the result in `becomes`: visible, late, parked, or that the record is away."""

    def __init__(self) -> None:
        self.becomes = "visible"
        self.waited_s: list[float] = []

    async def wait(self, positions: Sequence[MessagePosition], timeout_s: float) -> bool:
        self.waited_s.append(timeout_s)
        if self.becomes == "parked":
            raise Unprocessable("Kafka has accepted the message, but it was parked.", code="processing")
        if self.becomes == "away":
            raise Unavailable("PostgreSQL does not answer. Try again.")
        return self.becomes == "visible"


def fake_handler(
    broker: FakeBroker, record: Any, visible: FakeVisibility, workers: WorkerProcesses | None = None
) -> PublishHandler:
    return PublishHandler(broker, _messages(), workers or WorkerProcesses(WorkerLimits()), record, visible)


@cache
def _messages() -> EventMessages:
    return EventMessages(create_codec(), KEYS, topics())
