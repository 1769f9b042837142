"""Memberships of networks count by their dates, and only as a directory states them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.affiliations import (
    StatedOrganisation,
    is_membership,
    memberships,
    organisation_kind,
    read_affiliation,
    read_organisation,
)
from onestory.shared.networks import Membership, Networks
from onestory.shared.policy import Caller, PolicySubject, Visibility, decide

ODS = "https://fhir.nhs.uk/Id/ods-organization-code"
CARE_NETWORK = "https://onestory.nhs.uk/Id/care-network"
KIND = "https://onestory.nhs.uk/CodeSystem/organisation-kind"
ORGANISATION_ID = "a" * 26


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MOVED = Networks(
    [
        Membership("north", "A81001", None, at("2026-04-01")),
        Membership("south", "A81001", at("2026-04-01"), None),
    ],
    fallback={"A81001": "west", "A81002": "north"},
)


def test_a_membership_counts_from_its_start_until_before_its_end() -> None:
    assert MOVED.networks_of("A81001", at("2026-03-31T23:59:59")) == {"north"}
    assert MOVED.networks_of("A81001", at("2026-04-01")) == {"south"}


def test_the_setting_counts_only_where_the_directory_states_nothing() -> None:
    withdrawn = Networks([Membership("north", "A81001", active=False)], fallback={"A81001": "north"})

    assert MOVED.networks_of("A81002", at("2026-04-01")) == {"north"}
    assert withdrawn.networks_of("A81001", at("2026-04-01")) == frozenset()
    assert set(withdrawn.organisations) == {"A81001"}


def test_a_token_cannot_name_another_network_than_the_directory() -> None:
    now = at("2026-12-01")
    subject = PolicySubject("A81001", frozenset({"A81001"}))
    networks = Networks([Membership("south", "A81001"), Membership("north", "B81001"), Membership("south", "A81003")])

    def sees(organisation: str, claimed: str) -> Visibility:
        return decide(Caller(organisation, "", "", "R8000", claimed, "TREAT"), subject, networks, now).visibility

    assert sees("A81003", "") is Visibility.ALL
    assert sees("B81001", "south") is Visibility.NONE
    assert sees("RYE", "south") is Visibility.ALL  # the directory states no membership of this organisation
    assert sees("RYE", "") is Visibility.NONE


def affiliation(organization: dict[str, Any], member: dict[str, Any], **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "OrganizationAffiliation",
        "organization": organization,
        "participatingOrganization": member,
        "code": [{"coding": [{"system": "http://hl7.org/fhir/organization-role", "code": "member"}]}],
        **elements,
    }


def by(system: str, value: str) -> dict[str, Any]:
    return {"identifier": {"system": system, "value": value}}


def found(resource: dict[str, Any], *organisations: StatedOrganisation) -> list[Membership]:
    return memberships([read_affiliation("x", "QVV", resource, asserted=True)], organisations)


def organisation(kind: str, source: str = "QVV", *, active: bool = True, **elements: Any) -> StatedOrganisation:
    resource = {
        "active": active,
        "type": [{"coding": [{"system": KIND, "code": kind}]}],
        "identifier": [{"system": ODS, "value": "u12345"}],
        **elements,
    }
    return read_organisation(ORGANISATION_ID, source, resource, asserted=True)


def test_a_network_is_named_by_its_code_or_by_an_organization_that_is_a_network() -> None:
    reference = {"reference": f"Organization/{ORGANISATION_ID}"}
    practice = by(ODS, "a81001")

    assert found(affiliation(by(CARE_NETWORK, "north"), practice)) == [Membership("north", "A81001")]
    assert found(affiliation(reference, practice), organisation("network")) == [Membership("U12345", "A81001")]
    assert found(affiliation(by(ODS, "U12345"), practice), organisation("network")) == [Membership("U12345", "A81001")]


def test_no_trust_and_no_other_sources_organization_is_a_network() -> None:
    reference, practice = {"reference": f"Organization/{ORGANISATION_ID}"}, by(ODS, "A81001")

    assert found(affiliation(reference, practice), organisation("trust")) == []
    assert found(affiliation(reference, practice), organisation("network", "RZ9")) == []
    assert found(affiliation(by(ODS, "U12345"), practice)) == []


def test_a_network_that_is_closed_has_no_members() -> None:
    (membership,) = found(
        affiliation({"reference": f"Organization/{ORGANISATION_ID}"}, by(ODS, "A81001")),
        organisation("network", active=False),
    )

    assert not membership.is_in_force(at("2026-12-01"))


def test_a_member_is_found_by_reference_too() -> None:
    member = organisation("practice", identifier=[{"system": ODS, "value": "A81001"}])
    stated = affiliation(by(CARE_NETWORK, "north"), {"reference": f"Organization/{ORGANISATION_ID}"})

    assert found(stated, member) == [Membership("north", "A81001")]


def test_only_the_code_member_makes_a_member() -> None:
    other = [{"coding": [{"system": "http://hl7.org/fhir/organization-role", "code": "supplier"}]}]

    assert is_membership(affiliation({}, {}))
    assert not is_membership(affiliation({}, {}, code=other))
    assert not is_membership(affiliation({}, {}, code=[]))


def test_a_kind_may_be_a_role_of_ods() -> None:
    ods_role = {"type": [{"coding": [{"system": "https://example.org/ods", "code": "RO197"}]}]}

    assert organisation_kind(ods_role) == "trust"
    assert organisation_kind({}) == ""


@pytest.mark.parametrize(
    "resource",
    [
        affiliation({}, by(ODS, "A81001")),
        affiliation(by(CARE_NETWORK, "north"), {"display": "A practice"}),
        affiliation(by(CARE_NETWORK, "north"), by(ODS, "A81001"), period={"start": "soon"}),
    ],
)
def test_an_affiliation_without_names_or_dates_is_unusable(resource: dict[str, Any]) -> None:
    with pytest.raises(Unprocessable):
        read_affiliation("x", "QVV", resource, asserted=True)
