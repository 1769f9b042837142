"""Fakes of the services that intake needs: a Kafka producer, the record's database, and visible positions."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from uuid import UUID

from tests.unit.intake.door import KEYS

from onestory.intake.condition_store import VisibleVersion
from onestory.intake.conditions import ConditionalWrites
from onestory.intake.domain.request import KnownResource
from onestory.intake.keys import IdempotencyKeys
from onestory.intake.publish import EventMessages, PublishHandler
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition, Producer
from onestory.shared.kafka.schemas import topics
from onestory.shared.postgres.database import Database, Transaction
from onestory.shared.visible_positions import VisiblePositions


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

    `visible` are the versions that readers see, `found` the rows of resources that may have an identifier, and `keys`
    the idempotency keys with their digests. `reservations` are those of creates, with their positions; `others_create`
    says that another request holds them all.
    """

    def __init__(self) -> None:
        self.known: dict[str, KnownResource] = {}
        self.stands: dict[str, UUID] = {}
        self.visible: dict[str, VisibleVersion] = {}
        self.found: list[Mapping[str, Any]] = []
        self.keys: dict[tuple[object, ...], object] = {}
        self.reservations: dict[bytes, str | None] = {}
        self.others_create = False
        self.away = False
        self.asked = 0

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
            raise Unavailable("PostgreSQL does not answer. Try again.")
        if "visible_version" in query or "visible_directory_version" in query:
            wanted = arguments[0]
            assert isinstance(wanted, list)
            return [
                {"shared_id": each, "event_id": version.event_id, "has_others": version.has_others}
                for each, version in self.visible.items()
                if each in wanted
            ]
        if "own_statement" in query:
            return self.found
        if "own_directory_statement" in query:
            return []
        if "intake.create_reservation" in query:
            return self._reservations(query, *arguments)
        shared_ids = arguments[-1]
        assert isinstance(shared_ids, list)
        self.asked += 1
        if "standing_statement" in query:
            return [{"shared_id": each, "event_id": self.stands[each]} for each in shared_ids if each in self.stands]
        return [_row(each, self.known[each]) for each in shared_ids if each in self.known]

    def _reservations(self, query: str, names: Any, *arguments: Any) -> Sequence[Any]:
        if "insert" in query:
            self.reservations |= {} if self.others_create else dict.fromkeys(names)
            return [] if self.others_create else names
        if "delete" in query:
            self.reservations = {name: position for name, position in self.reservations.items() if name not in names}
        if "update" in query:
            self.reservations |= dict.fromkeys(names, arguments[1])
        return []


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


def fake_handler(broker: FakeBroker, record: Any, visible: FakeVisibility) -> PublishHandler:
    conditions = ConditionalWrites(record, visible, 4.0)
    return PublishHandler(broker, _messages(), record, visible, IdempotencyKeys(record), conditions)


@cache
def _messages() -> EventMessages:
    return EventMessages(create_codec(), KEYS, topics())
