"""Fakes of the services that intake needs: a Kafka producer, the record's database, and visible positions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast
from uuid import UUID

from tests.unit.intake.door import KEYS

from onestory.intake.domain.request import KnownResource
from onestory.intake.lookups import SubmissionPreparer
from onestory.intake.preparation import EventMessages
from onestory.intake.publish import PublishHandler
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.identity import PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition, Producer
from onestory.shared.kafka.schemas import topics
from onestory.shared.policy import Caller
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
    """Answers the queries that intake sends to the record. `away` makes the database unavailable.

    By resource hash: `patients` has the persons of own Patients, `targets` the shared ids of other resources, and
    `owned` those that belong to somebody. `types` counts the resources of another system. `behind` means that the
    record does not show all that Kafka has.
    """

    def __init__(self) -> None:
        self.known: dict[str, KnownResource] = {}
        self.stands: dict[str, UUID] = {}
        self.patients: dict[str, PersonIdentifier] = {}
        self.identified: dict[tuple[str, str], PersonIdentifier] = {}
        self.targets: dict[str, str] = {}
        self.owned: set[str] = set()
        self.types: dict[str, int] = {}
        self.away = False
        self.behind = False
        self.asked = 0

    async def caught_up(self) -> bool:
        return not self.behind

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        self.asked += 1
        if self.away:
            raise Unavailable("PostgreSQL does not answer. Try again.")
        if "identified_patient" in query:
            systems, values = cast(list[str], arguments[0]), cast(list[str], arguments[1])
            pairs = enumerate(zip(systems, values, strict=True), 1)
            return [_person_row(at, self.identified[pair]) for at, pair in pairs if pair in self.identified]
        if "count(*)" in query:
            return [{"resource_type": kind, "resources": count} for kind, count in self.types.items()]
        if "directory_resource" in query:
            return [
                {"ordinality": at, "shared_id": self.targets.get(each), "has_owner": each in self.owned}
                for at, each in enumerate(cast(list[str], arguments[3]), 1)
            ]
        if "owned_resource" in query:
            hashes = cast(list[str], arguments[0])
            return [_person_row(at, self.patients[each]) for at, each in enumerate(hashes, 1) if each in self.patients]
        shared_ids = arguments[-1]
        assert isinstance(shared_ids, list)
        if "standing_statement" in query:
            return [{"shared_id": each, "event_id": self.stands[each]} for each in shared_ids if each in self.stands]
        return [_row(each, self.known[each]) for each in shared_ids if each in self.known]


def _person_row(ordinality: int, person: PersonIdentifier) -> Mapping[str, Any]:
    return {"ordinality": ordinality, "person_system": person.system, "person_value": person.value}


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


class FakePolicy:
    """Lets callers read the persons with these keys, and no one else."""

    def __init__(self) -> None:
        self.readable: set[str] = set()
        self.asked: list[str] = []

    async def __call__(self, caller: Caller, person_key: str) -> bool:
        self.asked.append(person_key)
        return person_key in self.readable


def fake_handler(
    broker: FakeBroker,
    record: Any,
    visible: FakeVisibility,
    policy: FakePolicy | None = None,
    workers: WorkerProcesses | None = None,
) -> PublishHandler:
    workers = workers or WorkerProcesses(WorkerLimits())
    preparer = SubmissionPreparer(record, policy or FakePolicy(), record.caught_up, _messages(), workers)
    return PublishHandler(broker, preparer, record, visible)


@cache
def _messages() -> EventMessages:
    return EventMessages(create_codec(), KEYS, topics())
