"""The identifiers that find a person, and the owner of an identifier system."""

from __future__ import annotations

import pytest
from tests.people import patient
from tests.unit.intake.door import AMINA, decide, put, statement

from onestory.record.person.identifiers import local_identifiers, ods_codes_in


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
