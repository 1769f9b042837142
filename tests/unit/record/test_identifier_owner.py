"""An identifier system names its owner when it has the ODS code of an organisation."""

from __future__ import annotations

import pytest

from onestory.record.person.identifiers import ods_codes_in


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
