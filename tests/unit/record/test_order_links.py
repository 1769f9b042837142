"""The links of a Patient to other identities: which become identity links, and which are for review."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from onestory.shared.events import Entry, Operation, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier, provisional_identity
from onestory.shared.identity_links import StatedLinks, stated_links

KEYS = Keys(b"a secret for tests, long enough!")
AT = datetime(2026, 1, 1, tzinfo=UTC)
NEW, OLD = "9990000018", "9990000026"
PERSON = PersonIdentifier(NHS_NUMBER_SYSTEM, NEW)


def found(patient: dict[str, Any], *, authoritative: bool = True, person: PersonIdentifier = PERSON) -> StatedLinks:
    entry = Entry("Patient", "p1", "shared", AT, Operation.ASSERT, json.dumps(patient).encode())
    event = RecordChanged(UUID(int=1), Source("X26", "pds"), person, None, AT, AT, "c", (), (entry,))
    return stated_links(event, entry, KEYS, authoritative)


def replaces(other: dict[str, Any], kind: str = "replaces") -> dict[str, Any]:
    return {"resourceType": "Patient", "link": [{"type": kind, "other": other}]}


def by_number(number: str) -> dict[str, Any]:
    return {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": number}}


def kinds(made: StatedLinks) -> dict[str, str]:
    return {link.other_key: link.kind for link in made.links}


@pytest.mark.parametrize("other", [by_number(OLD), {"reference": f"Patient/{OLD}"}])
def test_an_authority_supersedes_a_number(other: dict[str, Any]) -> None:
    made = found(replaces(other))

    assert kinds(made)[KEYS.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, OLD))] == "replaces"
    assert not made.needs_review


def test_anybody_elses_link_is_for_review_and_joins_nothing() -> None:
    made = found(replaces(by_number(OLD)), authoritative=False)

    assert set(kinds(made).values()) == {"provisional"}
    assert made.needs_review


def test_a_known_number_leads_back_to_the_provisional_identity_of_the_same_source() -> None:
    made = found({"resourceType": "Patient"})

    assert kinds(made) == {KEYS.person_key(provisional_identity("X26", "pds", "p1")): "provisional"}


def test_a_provisional_person_has_no_provisional_link() -> None:
    assert found({"resourceType": "Patient"}, person=provisional_identity("X26", "pds", "p1")).links == ()


@pytest.mark.parametrize("code", ["V", "S"])
def test_a_protected_registration_gets_no_alias(code: str) -> None:
    protected = {**replaces(by_number(OLD)), "meta": {"security": [{"code": code}]}}

    assert found(protected) == StatedLinks((), False)


def test_other_kinds_of_link_and_wrong_numbers_are_no_alias() -> None:
    for patient in (replaces(by_number(OLD), "seealso"), replaces(by_number("9990000019")), replaces({"display": "x"})):
        assert set(kinds(found(patient)).values()) == {"provisional"}


def test_nobody_replaces_themselves() -> None:
    assert set(kinds(found(replaces(by_number(NEW)))).values()) == {"provisional"}
