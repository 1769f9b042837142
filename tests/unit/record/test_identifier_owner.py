"""The identifiers that find a person, and the owner of an identifier system."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.people import patient
from tests.unit.intake.door import AMINA, decide, put, statement

from onestory.record.person.identifiers import IdentifierMatch, local_identifiers, ods_codes_in
from onestory.record.read.identifier_owner import matches_that_count
from onestory.shared.postgres.database import Database


def test_a_person_is_found_by_the_identifiers_that_the_person_has_now() -> None:
    stated = patient(AMINA, "p1")
    stated["identifier"] += [
        {"system": "urn:mrn", "value": "7", "use": "old"},
        {"system": "urn:mrn", "value": "8", "use": "temp"},
        {"system": "urn:mrn", "value": "9", "use": "usual"},
        {"system": "urn:mrn", "value": "10"},
    ]

    found = local_identifiers(statement(decide(put(stated))), "key")

    assert sorted(each.value for each in found) == ["10", "9"]


@pytest.mark.parametrize(
    ("system", "certain", "possible"),
    [
        ("https://rz3.nhs.uk/Id/mrn", {"RZ3"}, {"HTTPS", "NHS", "MRN"}),
        ("https://fhir.example.org/A81001/patient-id", {"A81001"}, {"FHIR"}),
        ("urn:oid:2.16.840.1", set(), {"URN", "OID"}),
        ("https://rae.nhs.uk/mrn", set(), {"RAE"}),
    ],
)
def test_ods_codes_in_a_system(system: str, certain: set[str], possible: set[str]) -> None:
    found, perhaps = ods_codes_in(system)

    assert found == certain
    assert possible <= perhaps


class NoOtherOrganisations(Database):
    """The answer of a database in which no other organisation is known."""

    def __init__(self) -> None:
        """There is no pool."""

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        return []


def counted(matches: Sequence[IdentifierMatch], networks: Sequence[str] = ()) -> tuple[set[IdentifierMatch], int]:
    """The matches that count for a reader, and how many persons were loaded; the practice is A81001."""
    loaded = []

    async def counts_about(match: IdentifierMatch) -> bool:
        loaded.append(match)
        return match.organisation == "A81001"

    found = asyncio.run(
        matches_that_count(
            NoOtherOrganisations(),
            "https://rz3.nhs.uk/Id/mrn",
            matches,
            "B82002",
            counts_about,
            authorities=["X26"],
            networks=networks,
        )
    )
    return set(found), len(loaded)


PRACTICE = IdentifierMatch("person", "A81001")


def test_a_source_cannot_push_the_practice_out_by_many_persons() -> None:
    strangers = [IdentifierMatch(f"a{number:03}", "A0STRANGER") for number in range(500)]

    assert counted([*strangers, PRACTICE]) == ({PRACTICE}, 20)


def test_many_strangers_cannot_push_out_an_organisation_of_a_network() -> None:
    strangers = [IdentifierMatch("a", f"A0{number:03}") for number in range(500)]

    assert counted([*strangers, PRACTICE], ["A81001", "C83003"]) == ({PRACTICE}, 20)


def test_an_authority_and_the_owner_count_without_reading_the_person() -> None:
    strangers = [IdentifierMatch("a", f"A0{number:03}") for number in range(500)]
    certain = {IdentifierMatch("person", "X26"), IdentifierMatch("person", "RZ3"), IdentifierMatch("person", "B82002")}

    assert counted([*strangers, *certain]) == (certain, 20)
    assert counted([*certain]) == (certain, 0)
