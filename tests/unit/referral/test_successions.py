"""Who succeeds a team, an organisation or a user is read from the directory, and only from those who may say so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from onestory.referral.directory.model import CurrentDirectoryStatement, Role
from onestory.referral.directory.successions import (
    SuccessionRow,
    refuse_foreign_succession,
    stated_successions,
)
from onestory.shared.errors import Unprocessable

URL = "https://onestory.nhs.uk/StructureDefinition/succeeded-by"
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"
DOS = "https://fhir.nhs.uk/Id/dos-service-id"
SDS = "https://fhir.nhs.uk/Id/sds-user-id"
TEAM, NEW_TEAM = "a" * 26, "b" * 26


def succeeded_by(successor: dict[str, Any], **parts: Any) -> dict[str, Any]:
    extension: list[dict[str, Any]] = [{"url": "successor", "valueReference": successor}]
    if "predecessor" in parts:
        extension.append({"url": "predecessor", "valueReference": parts["predecessor"]})
    for practice in parts.get("practices", ()):
        extension.append({"url": "practice", "valueIdentifier": {"system": ODS, "value": practice}})
    if "starts" in parts:
        extension.append({"url": "from", "valueDateTime": parts["starts"]})
    return {"url": URL, "extension": extension}


def read(kind: str, *extensions: dict[str, Any], source: str = "RZ1", asserted: bool = True) -> list[SuccessionRow]:
    resource = {"resourceType": kind, "extension": [{"url": "urn:other"}, *extensions]}
    statement = CurrentDirectoryStatement(TEAM, kind, source, orjson.dumps(resource), asserted)
    return stated_successions(statement, resource)


def test_a_team_names_its_successor_by_reference_or_service_id() -> None:
    by_reference = succeeded_by({"reference": f"HealthcareService/{NEW_TEAM}"}, practices=["a81002", "A81001"])
    by_code = succeeded_by({"identifier": {"system": DOS, "value": "2000001"}}, starts="2026-12-25")

    first, second = read("HealthcareService", by_reference, by_code)

    assert (first.kind, first.old_id, first.new_id, first.practices) == ("team", TEAM, NEW_TEAM, ["A81001", "A81002"])
    assert (second.new_code, second.starts_at) == ("2000001", datetime(2026, 12, 25, tzinfo=UTC))
    assert first.succession_id != second.succession_id
    refuse_foreign_succession([first, second], ())


def test_a_retracted_resource_states_no_succession() -> None:
    assert read("HealthcareService", succeeded_by({"reference": f"HealthcareService/{NEW_TEAM}"}), asserted=False) == []
    assert read("Location", succeeded_by({"reference": f"HealthcareService/{NEW_TEAM}"})) == []


def test_a_role_is_handed_over_to_a_user() -> None:
    (row,) = read("PractitionerRole", succeeded_by({"identifier": {"system": SDS, "value": "555"}}))

    assert (row.kind, row.old_id, row.new_code) == ("user", TEAM, "555")


def test_an_authority_names_another_predecessor() -> None:
    stated = succeeded_by(
        {"type": "Organization", "identifier": {"system": ODS, "value": "A81002"}},
        predecessor={"type": "Organization", "identifier": {"system": ODS, "value": "A81001"}},
    )
    rows = read("Organization", stated, source="QVV")

    assert (rows[0].kind, rows[0].old_id, rows[0].old_code, rows[0].new_code) == (
        "organisation",
        "",
        "A81001",
        "A81002",
    )
    refuse_foreign_succession(rows, {"QVV"})
    with pytest.raises(Unprocessable):
        refuse_foreign_succession(rows, ())


def test_no_organisation_names_its_own_successor() -> None:
    rows = read("Organization", succeeded_by({"identifier": {"system": ODS, "value": "A81002"}}), source="A81001")

    with pytest.raises(Unprocessable):
        refuse_foreign_succession(rows, {"QVV"})


@pytest.mark.parametrize(
    "extension",
    [
        {"url": URL},
        succeeded_by({"display": "The new team"}),
        succeeded_by({"reference": f"HealthcareService/{NEW_TEAM}"}, predecessor={"display": "The old one"}),
        succeeded_by({"reference": f"HealthcareService/{NEW_TEAM}"}, starts="soon"),
    ],
)
def test_a_succession_that_cannot_be_used_says_why(extension: dict[str, Any]) -> None:
    with pytest.raises(Unprocessable):
        read("HealthcareService", extension)


def test_a_role_with_weekdays_is_in_force_on_these_days_and_the_night_after() -> None:
    role = Role("r", "555", TEAM, "RZ1", weekdays=("tue",))

    def in_force(text: str) -> bool:
        return role.is_in_force(datetime.fromisoformat(text).replace(tzinfo=UTC))

    assert in_force("2026-12-01T09:00")  # a Tuesday
    assert in_force("2026-12-02T03:59")
    assert not in_force("2026-12-02T04:01")
    assert not in_force("2026-11-30T23:59")
    assert in_force("2026-07-06T23:30")  # Tuesday has begun in British summer time
