"""The shared Patient: each element has the right source, disagreement is shown, and the result is valid FHIR."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import fhirkit
import orjson
import pytest

from onestory.record.person.composition import NhsNumbers, SharedPatient, compose
from onestory.record.person.sources_words import words_in
from onestory.record.person.statements import (
    DISAGREEMENT,
    PatientStatement,
    Trust,
    practice_references,
    practitioners_by_precedence,
    registered_practice,
)
from onestory.shared.fhir.references import ods_code
from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM

NUMBER, OLD = "9990000018", "9990000026"
PDS, PRACTICE, HOSPITAL = "X26", "A81001", "RZ3"
AUTHORITIES = (PDS,)
TRUST = Trust(frozenset(AUTHORITIES), PRACTICE)


def practice(code: str) -> list[dict[str, Any]]:
    return [{"identifier": {"system": ODS_CODE_SYSTEM, "value": code}}]


def said(organisation: str, said_at: int, **elements: Any) -> PatientStatement:
    body = {"resourceType": "Patient", "id": f"p-{organisation.lower()}-{said_at}", "meta": {}, **elements}
    at = datetime.fromtimestamp(said_at, UTC)
    return PatientStatement(body["id"], UUID(int=said_at), organisation, said_at, at, orjson.dumps(body))


def composed(*statements: PatientStatement, numbers: NhsNumbers = NhsNumbers(NUMBER)) -> tuple[SharedPatient, Any]:  # noqa: B008
    patient = compose(numbers, statements, TRUST)
    assert fhirkit.validate(patient.content.decode()) == []
    return patient, orjson.loads(patient.content)


def test_each_element_comes_from_the_first_who_has_it_authority_practice_newest() -> None:
    patient, body = composed(
        said(HOSPITAL, 30, gender="other", birthDate="1999-01-01", maritalStatus={"text": "single"}),
        said(PRACTICE, 20, gender="male", birthDate="1980-01-01"),
        said(PDS, 10, gender="female"),
    )

    assert body["id"] == NUMBER
    assert (body["gender"], body["birthDate"], body["maritalStatus"]) == ("female", "1980-01-01", {"text": "single"})
    assert patient.last_updated == datetime.fromtimestamp(30, UTC)


def test_an_element_keeps_its_bytes_and_what_is_written_beside_it() -> None:
    content = (
        b'{"resourceType":"Patient","id":"p1","meta":{},"birthDate":"1980-01-01","_birthDate":{"id":"b"},'
        b'"address":[{"extension":[{"url":"https://example.org/x","valueDecimal":1.00}],"city":"Bath"}]}'
    )
    patient = compose(NhsNumbers(NUMBER), [PatientStatement("p1", UUID(int=1), PDS, 1, None, content)], TRUST)

    assert b'"valueDecimal":1.00}' in patient.content
    assert b'"_birthDate":{"id":"b"}' in patient.content


def test_disagreement_names_the_element_the_organisation_and_the_statement() -> None:
    _, body = composed(
        said(PDS, 1, name=[{"family": "Okafor", "given": ["Amina"]}]),
        said(HOSPITAL, 2, name=[{"family": "OKAFOR ", "given": ["Amina"], "use": "usual"}]),
        said(PRACTICE, 3, name=[{"family": "Okafor", "given": ["Anima"]}]),
    )

    (shown,) = [each for each in body["extension"] if each["url"] == DISAGREEMENT]
    assert shown["extension"] == [
        {"url": "element", "valueCode": "name"},
        {"url": "source", "valueReference": {"identifier": {"system": ODS_CODE_SYSTEM, "value": PRACTICE}}},
        {"url": "statement", "valueReference": {"reference": "Patient/p-a81001-3"}},
    ]


def test_a_death_can_be_taken_back() -> None:
    died = said(PDS, 1, deceasedDateTime="2026-10-01")
    assert composed(died)[1]["deceasedDateTime"] == "2026-10-01"

    _, body = composed(said("X27", 1, deceasedDateTime="2026-10-01"), said(PDS, 2, deceasedBoolean=False))

    assert body["deceasedBoolean"] is False
    assert "deceasedDateTime" not in body


def test_the_nhs_number_comes_first_as_it_was_verified_and_the_sources_own_numbers_follow() -> None:
    verified = {
        "system": NHS_NUMBER_SYSTEM,
        "value": NUMBER,
        "extension": [{"url": "https://fhir.hl7.org.uk/x", "valueCode": "01"}],
    }
    own = {"system": "https://practice.example.org/id", "value": "42"}
    _, body = composed(
        said(PRACTICE, 2, identifier=[own, {"system": NHS_NUMBER_SYSTEM, "value": NUMBER}]),
        said(PDS, 1, identifier=[verified]),
    )

    assert body["identifier"] == [verified, own]


def test_a_superseded_number_points_to_the_one_that_stands_and_is_not_active() -> None:
    _, body = composed(said(PRACTICE, 1, active=True), numbers=NhsNumbers(OLD, replaced_by=(NUMBER,)))

    assert body["id"] == OLD
    assert body["active"] is False
    assert body["link"][0] == {"other": {"reference": f"Patient/{NUMBER}"}, "type": "replaced-by"}
    assert body["link"][1] == {"other": {"reference": "Patient/p-a81001-1"}, "type": "seealso"}


def test_contained_resources_of_two_sources_do_not_meet() -> None:
    def contained(name: str) -> dict[str, Any]:
        return {
            "contained": [{"resourceType": "Organization", "id": "org", "name": name}],
            "managingOrganization": {"reference": "#org"},
        }

    _, body = composed(said(PDS, 1, **contained("Authority")), said(HOSPITAL, 2, **contained("Hospital")))

    (kept,) = body["contained"]
    assert kept["name"] == "Authority"
    assert body["managingOrganization"]["reference"] == f"#{kept['id']}"


def test_confidentiality_labels_of_every_source_are_kept() -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    labelled = {"meta": {"security": [label]}}
    _, body = composed(said(PDS, 2), said(PRACTICE, 1, **labelled))
    _, by_another = composed(said(PDS, 2), said(HOSPITAL, 1, **labelled))

    assert body["meta"]["security"] == [label]
    assert "security" not in by_another["meta"]
    (word,) = words_in(by_another)
    assert (word.element, word.organisation, word.values[0]["valueCoding"]) == ("meta.security", HOSPITAL, label)


def test_a_person_of_whom_nobody_stated_a_patient_still_has_one() -> None:
    patient, body = composed()

    assert body["identifier"] == [{"system": NHS_NUMBER_SYSTEM, "value": NUMBER}]
    assert patient.last_updated is None


def test_the_version_changes_with_any_statement_and_not_with_their_order() -> None:
    one, two = said(PDS, 1, gender="female"), said(HOSPITAL, 2)

    assert composed(one, two)[0] == composed(two, one)[0]
    assert composed(one, two)[0].version_id != composed(one)[0].version_id


def registered(*statements: PatientStatement, authorities: Sequence[str] = AUTHORITIES) -> str | None:
    return registered_practice(practitioners_by_precedence(statements, authorities), authorities, {})


def test_the_registered_practice_is_what_the_authority_says_and_nobody_elses_word_makes_one() -> None:
    hospital = said(HOSPITAL, 9, generalPractitioner=practice("B1"))
    own = said("A81002", 5, generalPractitioner=practice("A81002"))
    authority = said(PDS, 1, generalPractitioner=practice("A81001"))

    assert registered(hospital, own, authority) == "A81001"
    assert registered(hospital, own) is None
    assert registered(hospital, own, said(PDS, 1)) is None
    assert registered() is None


def test_where_there_is_no_authority_a_practice_that_names_itself_is_heard_before_the_newest() -> None:
    hospital = said(HOSPITAL, 9, generalPractitioner=practice("B1"))
    own = said("A81002", 5, generalPractitioner=practice("A81002"))

    assert registered(hospital, own, authorities=()) == "A81002"
    assert registered(hospital, authorities=()) == "B1"
    assert registered(authorities=()) is None


def test_of_several_practices_that_the_authority_lists_it_is_the_one_where_the_registration_goes_on() -> None:
    (left,), (joined,) = practice("A81001"), practice("A81004")
    left["identifier"]["period"] = {"start": "2010-01-01", "end": "2026-06-30"}
    joined["identifier"]["period"] = {"start": "2026-07-01"}

    for listed in ([left, joined], [joined, left]):
        assert registered(said(PDS, 1, generalPractitioner=listed)) == "A81004"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://directory.spineservices.nhs.uk/STU3/Organization/A81001", "A81001"),
        ("https://directory.spineservices.nhs.uk/Organization/A81001", "A81001"),
        ("https://int.api.service.nhs.uk/organisation-data-terminology-api/fhir/Organization/A81001", "A81001"),
        ("https://hospital.example/fhir/Organization/A81001", None),
        ("https://hospital.example/directory.spineservices.nhs.uk/Organization/A81001", None),
        ("http://a.example/fhir/Organization/1234", None),
        ("Organization/1234", None),
    ],
)
def test_only_the_ods_directory_names_a_practice_by_its_url(url: str, expected: str | None) -> None:
    assert registered(said(PDS, 1, generalPractitioner=[{"reference": url}])) == expected


def test_a_practice_named_by_reference_is_found_through_its_organization() -> None:
    shared_id = "a" * 26 + "-" + "b" * 26
    named = practitioners_by_precedence(
        [said(PRACTICE, 1, generalPractitioner=[{"reference": f"Organization/{shared_id}"}])], ()
    )
    organization = orjson.dumps(
        {"resourceType": "Organization", "identifier": [{"system": ODS_CODE_SYSTEM, "value": PRACTICE}]}
    )

    assert practice_references(named) == {shared_id}
    assert registered_practice(named, (), {shared_id: ods_code(organization) or ""}) == PRACTICE
