"""An answer about a person leaves only after its access event is in Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from onestory.record.person.load import Demographics, PersonRecord
from onestory.record.read.access import Access, RecordAccess, RecordView
from onestory.record.read.networks import NetworkReader
from onestory.record.read.person_reader import PersonReader
from onestory.shared.audit import AuditTrail
from onestory.shared.errors import NotFound, Unavailable
from onestory.shared.events import AccessRecorded
from onestory.shared.policy import Caller, Decision, Visibility

CALLER = Caller("A81001", "emis-web", "user-1", "R8000", "north", "TREAT")
ACCESS = Access(CALLER, "$everything", (), "c-1")


class Trail:
    """An audit trail that collects events in memory, or fails because Kafka does not answer."""

    def __init__(self, kafka_answers: bool = True) -> None:
        self.events: list[AccessRecorded] = []
        self.groups: list[int] = []
        self._kafka_answers = kafka_answers

    async def record(self, *accesses: AccessRecorded) -> None:
        await asyncio.sleep(0.01)
        if not self._kafka_answers:
            raise Unavailable("Kafka does not answer.")
        self.events += accesses
        self.groups.append(len(accesses))


def reader(trail: Trail) -> RecordAccess:
    persons, networks = PersonReader(cast(Any, None), Demographics((), ())), NetworkReader(cast(Any, None), (), {})
    return RecordAccess(cast(Any, None), cast(AuditTrail, trail), persons, networks)


def view(visibility: Visibility, person_keys: Sequence[str] = ("person-1",)) -> RecordView:
    person = PersonRecord(person_keys, {}, {}, (), ())
    return RecordView(person, Decision(visibility, "why"), (), ())


def test_the_answer_waits_for_the_trace() -> None:
    trail = Trail()

    answer = asyncio.run(reader(trail).answer_audited(view(Visibility.ALL), ACCESS, lambda: "the record"))

    assert answer == "the record"
    (event,) = trail.events
    assert (event.person_key, event.interaction, event.visibility) == ("person-1", "$everything", "all")
    assert (event.reason, event.correlation_id, event.organisation) == ("why", "c-1", "A81001")


def test_without_a_trace_nothing_is_shown_and_nothing_is_refused() -> None:
    for visibility in Visibility:
        with pytest.raises(Unavailable):
            asyncio.run(
                reader(Trail(kafka_answers=False)).answer_audited(view(visibility), ACCESS, lambda: "the record")
            )


def test_a_refusal_leaves_a_trace_too() -> None:
    trail = Trail()

    with pytest.raises(NotFound):
        asyncio.run(reader(trail).answer_audited(view(Visibility.NONE), ACCESS, lambda: "the record"))

    assert [event.visibility for event in trail.events] == ["none"]


def test_each_identity_that_was_shown_has_its_own_trace() -> None:
    trail = Trail()

    asyncio.run(reader(trail).answer_audited(view(Visibility.ALL, ["new", "old"]), ACCESS, lambda: "the record"))

    assert [event.person_key for event in trail.events] == ["new", "old"]
    assert trail.groups == [2]
