"""Fakes of the services that intake needs: a Kafka producer, the record's database, and visible positions."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, cast
from uuid import UUID

from tests.unit.intake.door import KEYS

from onestory.intake.condition_store import VisibleVersion
from onestory.intake.conditions import ConditionalWrites
from onestory.intake.domain.earlier import SystemResources
from onestory.intake.domain.request import KnownResource
from onestory.intake.keys import IdempotencyKeys
from onestory.intake.lookups import SubmissionPreparer
from onestory.intake.preparation import EventMessages
from onestory.intake.publish import PublishHandler
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.identity import PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition, Producer
from onestory.shared.kafka.schemas import topics
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database, Transaction
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
    `owned` those that belong to somebody. `types` are the resources of another system. `behind` means that the
    record does not show all that Kafka has.

    `visible` are the versions that readers see, `found` the rows of resources that may have an identifier, and `keys`
    the idempotency keys with their digests. `reservations` are those of creates, with their positions; `others_create`
    says that another request holds them all, and `taken_over` that it took them after they ended.
    """

    def __init__(self) -> None:
        self.known: dict[str, KnownResource] = {}
        self.stands: dict[str, UUID] = {}
        self.patients: dict[str, PersonIdentifier] = {}
        self.identified: dict[tuple[str, str], PersonIdentifier] = {}
        self.targets: dict[str, str] = {}
        self.owned: set[str] = set()
        self.types: list[SystemResources] = []
        self.visible: dict[str, VisibleVersion] = {}
        self.found: list[Mapping[str, Any]] = []
        self.keys: dict[tuple[object, ...], object] = {}
        self.reservations: dict[bytes, str | None] = {}
        self.others_create = False
        self.taken_over = False
        self.away = False
        self.behind = False
        self.asked = 0

    async def caught_up(self) -> bool:
        return not self.behind

    async def fetchval(self, query: str, *arguments: object) -> Any:
        assert "intake.idempotency_key" in query
        if self.away:
            raise Unavailable("PostgreSQL does not answer. Try again.")
        return self.keys.setdefault(arguments[:-1], arguments[-1])

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        yield self

    async def execute(self, query: str, *arguments: object) -> str:
        raise NotImplementedError

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        if self.away:
            self.asked += 1
            raise Unavailable("PostgreSQL does not answer. Try again.")
        if "visible_version" in query or "visible_directory_version" in query:
            wanted = arguments[0]
            assert isinstance(wanted, list)
            return [
                {"shared_id": each, "event_id": version.event_id, "has_others": version.has_others}
                for each, version in self.visible.items()
                if each in wanted
            ]
        if "count(*)" in query:
            self.asked += 1
            return [_system_row(each) for each in self.types]
        if "own_statement" in query:
            return self.found
        if "own_directory_statement" in query:
            return []
        if "intake.create_reservation" in query:
            return self._reservations(query, *arguments)
        self.asked += 1
        if "identified_patient" in query:
            systems, values = cast(list[str], arguments[0]), cast(list[str], arguments[1])
            pairs = enumerate(zip(systems, values, strict=True), 1)
            return [_person_row(at, self.identified[pair]) for at, pair in pairs if pair in self.identified]
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

    def _reservations(self, query: str, names: Any, *arguments: Any) -> Sequence[Any]:
        if "insert" in query:
            self.reservations |= {} if self.others_create else dict.fromkeys(names)
            return [] if self.others_create else names
        if "delete" in query:
            self.reservations = {name: position for name, position in self.reservations.items() if name not in names}
        if "for update" in query:
            return [] if self.taken_over else names
        if "update" in query:
            self.reservations |= dict.fromkeys(names, arguments[1])
        return []


def _person_row(ordinality: int, person: PersonIdentifier) -> Mapping[str, Any]:
    return {"ordinality": ordinality, "person_system": person.system, "person_value": person.value}


def _system_row(has: SystemResources) -> Mapping[str, Any]:
    person = has.person or PersonIdentifier("", "")
    counts = {"earlier": has.earlier, "later": has.later, "is_own": bool(has.person)}
    return {"resource_type": has.resource_type, "person_system": person.system, "person_value": person.value, **counts}


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
    conditions = ConditionalWrites(record, visible, 4.0)
    return PublishHandler(broker, preparer, record, visible, IdempotencyKeys(record), conditions)


@cache
def _messages() -> EventMessages:
    return EventMessages(create_codec(), KEYS, topics())
