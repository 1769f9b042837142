"""Links of demographic authorities join NHS numbers. A cycle of links is parked, and its statement stays."""

from __future__ import annotations

import json

from tests.integration.record.record import Record
from tests.integration.record.statements import Said, person, statement

from onestory.shared.events import RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier

PDS = Source("X26", "pds")
FIRST, SECOND, THIRD = (PersonIdentifier(NHS_NUMBER_SYSTEM, f"99900000{tail}") for tail in ("18", "26", "34"))


def replacing(keys: Keys, event_id: int, new: PersonIdentifier, old: PersonIdentifier) -> RecordChanged:
    """The authority's Patient `new`, with a link that replaces `old`."""
    other = {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": old.value}}
    link = f'"link":{json.dumps([{"type": "replaces", "other": other}])}'
    return statement(keys, event_id, new, [Said("Patient", new.value, link, event_id)], source=PDS)


def kinds(record: Record) -> list[str]:
    return [kind for (kind,) in record.rows("select kind from patient_link order by kind")]


def test_an_authoritys_link_is_kept_and_anybody_elses_is_not(record: Record, keys: Keys) -> None:
    record.project(keys, [replacing(keys, 1, SECOND, FIRST)])
    assert kinds(record) == ["provisional"]

    record.project(keys, [replacing(keys, 2, SECOND, FIRST)], authorities=["X26"])
    assert kinds(record) == ["provisional", "provisional", "replaces"]


def test_a_link_that_closes_a_cycle_is_noted_and_its_statement_stays(record: Record, keys: Keys) -> None:
    chain = [replacing(keys, 1, SECOND, FIRST), replacing(keys, 2, THIRD, SECOND)]
    record.project(keys, chain, authorities=["X26"])
    assert record.rows("select count(*) from parked") == [(0,)]

    record.project(keys, [person_said(keys)], [replacing(keys, 3, FIRST, THIRD)], authorities=["X26"])

    assert record.rows("select reason from parked") == [("alias-cycle",)]
    assert record.rows("select count(*) from parked_position") == [(0,)]
    assert record.rows("select count(*) from current where resource_type = 'Patient' and visible") == [(3,)]


def person_said(keys: Keys) -> RecordChanged:
    """A statement that has nothing to do with the links."""
    return statement(keys, 9, person(1), [Said("Condition", "a", '"a":1', 1)])
