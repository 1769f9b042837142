"""Directory resources are read into rows, however oddly they are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from onestory.referral.directory.model import CurrentDirectoryStatement
from onestory.referral.directory.rows import (
    ESCALATION_CONTACT,
    PRACTICE_SERVED,
    TEAM_KIND,
    TEAM_NETWORK,
    DirectoryRow,
    PractitionerRow,
    RoleRow,
    TeamRow,
    to_row,
)
from onestory.shared.errors import Unprocessable
from onestory.shared.identity import DOS_SERVICE_SYSTEM, ODS_CODE_SYSTEM, SDS_USER_SYSTEM

USER = {"identifier": {"system": SDS_USER_SYSTEM, "value": "555"}}
NOTHING = {"extension": [{"url": "https://example.org/why", "valueString": "not known"}]}


def read(kind: str, **elements: Any) -> DirectoryRow:
    """The row of a resource of the organisation RZ1."""
    content = json.dumps({"resourceType": kind, "id": "x", **elements}).encode()
    return to_row(CurrentDirectoryStatement("x", kind, "RZ1", content, True))


def team(**elements: Any) -> TeamRow:
    """The row of a HealthcareService."""
    row = read("HealthcareService", **elements)
    assert isinstance(row, TeamRow)
    return row


def test_a_teams_kind_is_ours_or_else_its_types_code_or_text() -> None:
    ours = {"coding": [{"system": TEAM_KIND, "code": "cardiology"}]}
    theirs = {"coding": [{"display": "no code"}, {"system": "http://snomed.info/sct", "code": "789718008"}]}

    assert team(category=[theirs, ours], type=[theirs]).kind == "cardiology"
    assert team(category=[{"text": "Hospital"}], type=[theirs]).kind == "789718008"
    assert team(type=[{"text": "Heart clinic"}]).kind == "Heart clinic"
    assert team(type=[{"text": "Heart clinic"}]).name == "Heart clinic"
    assert team(_name=NOTHING).name == "unnamed team"


def test_a_service_id_that_is_not_used_any_more_is_none() -> None:
    numbered = {"system": DOS_SERVICE_SYSTEM.replace("https", "http"), "value": "2000001"}

    assert team(identifier=[{**numbered, "use": "old"}, {"system": "x", "value": "y"}]).own_dos_service_id == ""
    assert team(identifier=[numbered]).own_dos_service_id == "2000001"


def test_an_extension_with_another_kind_of_value_says_nothing() -> None:
    odd = [
        {"url": TEAM_NETWORK, "valueInteger": 3},
        {"url": PRACTICE_SERVED, "valueString": "A81001"},
        {"url": PRACTICE_SERVED, "valueIdentifier": {"system": ODS_CODE_SYSTEM}},
        {"url": ESCALATION_CONTACT, "valueString": "Eve"},
    ]

    found = team(extension=odd)

    assert (found.network, found.own_practices, found.escalation_name) == ("", [], "")


def test_a_name_of_which_parts_are_not_known_is_what_is_known() -> None:
    row = read("Practitioner", name=[{"given": [None, "Ann"], "_given": [NOTHING, None]}])

    assert isinstance(row, PractitionerRow)
    assert row.name == "Ann"


def test_a_role_names_its_user_itself_or_by_its_practitioner() -> None:
    shared_id = "a" * 26
    named = read("PractitionerRole", practitioner={**USER, "reference": f"Practitioner/{shared_id}"})
    by_reference = read("PractitionerRole", practitioner={"reference": f"Practitioner/{shared_id}"})

    assert isinstance(named, RoleRow)
    assert isinstance(by_reference, RoleRow)
    assert (named.subject, named.practitioner_id) == ("555", "")
    assert (by_reference.subject, by_reference.practitioner_id) == ("", shared_id)


@pytest.mark.parametrize(
    ("kind", "elements", "reason"),
    [
        ("HealthcareService", {"active": "true"}, "content-form"),
        ("HealthcareService", {"name": "a\u0000b"}, "content-form"),
        ("HealthcareService", {"providedBy": {"reference": "Location/" + "a" * 26}}, "no-organisation"),
        ("PractitionerRole", {"practitioner": USER, "period": {"start": "2026-02-31"}}, "content-form"),
        (
            "PractitionerRole",
            {"practitioner": {"identifier": {"system": SDS_USER_SYSTEM, "_value": NOTHING}}},
            "nobody",
        ),
        ("PractitionerRole", {"practitioner": USER, "healthcareService": [{"display": "Nursing"}]}, "no-team"),
        ("Organization", {"identifier": [{"system": ODS_CODE_SYSTEM, "value": "A" * 600}]}, "content-form"),
    ],
)
def test_what_is_of_no_use_says_why(kind: str, elements: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        read(kind, **elements)

    assert caught.value.issues[0].code == reason


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'"text"', b'{"resourceType":"Location","id":"x"}', b"\xff"])
def test_what_is_no_such_resource_is_refused(content: bytes) -> None:
    with pytest.raises(Unprocessable):
        to_row(CurrentDirectoryStatement("x", "HealthcareService", "RZ1", content, True))


@pytest.mark.parametrize(
    ("period", "first", "after"),
    [
        ({}, None, None),
        ({"start": "2026", "end": "2026"}, datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (
            {"start": "2026-06", "end": "2026-06"},
            datetime(2026, 5, 31, 23, tzinfo=UTC),
            datetime(2026, 6, 30, 23, tzinfo=UTC),
        ),
        (
            {"start": "2026-03-29", "end": "2026-03-29"},
            datetime(2026, 3, 29, tzinfo=UTC),
            datetime(2026, 3, 29, 23, tzinfo=UTC),
        ),
        (
            {"start": "2026-01-06T09:00:00+01:00", "end": "2026-01-06T17:00:00Z"},
            datetime(2026, 1, 6, 8, tzinfo=UTC),
            datetime(2026, 1, 6, 17, tzinfo=UTC),
        ),
        ({"end": "2024-02"}, None, datetime(2024, 3, 1, tzinfo=UTC)),
        ({"end": "9999"}, None, None),
        ({"end": "9999-12-31"}, None, None),
    ],
)
def test_a_period_is_two_moments_and_its_days_are_those_of_england(
    period: dict[str, str], first: datetime | None, after: datetime | None
) -> None:
    role = read("PractitionerRole", practitioner=USER, period=period)

    assert isinstance(role, RoleRow)
    assert (role.starts_at, role.ends_at) == (first, after)
