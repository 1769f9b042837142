"""A DoS service id belongs to the organisation that claimed it first, in any order of arrival."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson

from onestory.referral.directory.claims import with_usable_claims
from onestory.referral.directory.ownership import DosClaim, first_claimant

ID, OTHER_ID = "2000001", "2000002"


def claim(minute: int, team: str, organisation: str, dos_id: str = ID) -> DosClaim:
    at = datetime(2026, 12, 1, tzinfo=UTC) + timedelta(minutes=minute)
    return DosClaim(team, UUID(int=minute), organisation, at, dos_id)


def test_the_first_claimant_owns_an_id_whatever_arrives_first() -> None:
    claims = [claim(1, "nurses", "RZ1"), claim(2, "evil", "RZ9"), claim(3, "evil", "RZ9"), claim(4, "nurses", "RZ1")]

    for order in itertools.permutations(claims):
        assert first_claimant(ID, order) == "RZ1"


def test_who_lay_in_wait_does_not_get_an_id_that_is_given_up() -> None:
    given_up = [claim(1, "nurses", "RZ1"), claim(2, "evil", "RZ9"), claim(3, "nurses", "RZ1", "")]

    assert first_claimant(ID, given_up) is None
    assert first_claimant(ID, [*given_up, claim(4, "new", "RZ2")]) == "RZ2"


def test_an_id_stays_while_one_team_of_its_owner_names_it() -> None:
    moved = [claim(1, "old", "RZ1"), claim(2, "new", "RZ1"), claim(3, "old", "RZ1", OTHER_ID), claim(4, "evil", "RZ9")]

    assert first_claimant(ID, moved) == "RZ1"
    assert first_claimant(OTHER_ID, moved) == "RZ1"
    assert first_claimant("2000003", moved) is None


def test_a_search_shows_no_claim_that_does_not_count() -> None:
    served = "https://onestory.nhs.uk/StructureDefinition/practice-served"
    ods = "https://fhir.nhs.uk/Id/ods-organization-code"
    dos = "https://fhir.nhs.uk/Id/dos-service-id"
    content = orjson.dumps(
        {
            "resourceType": "HealthcareService",
            "identifier": [{"system": dos, "value": ID}, {"system": "urn:x", "value": "kept"}],
            "extension": [
                {"url": served, "valueIdentifier": {"system": ods, "value": "A81001"}},
                {"url": "urn:other", "valueString": "kept"},
            ],
        }
    )

    assert orjson.loads(with_usable_claims(content, "", ["A81002"])) == {
        "resourceType": "HealthcareService",
        "identifier": [{"system": "urn:x", "value": "kept"}],
        "extension": [
            {"url": "urn:other", "valueString": "kept"},
            {"url": served, "valueIdentifier": {"system": ods, "value": "A81002"}},
        ],
    }
