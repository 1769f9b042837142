"""The head of the page says who the person is, where they live, and who their practice is."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import NOW, code, known, said

from onestory.record.summary.document import summarise
from onestory.record.summary.narrative import plain_text
from onestory.shared.fhir.dates import uk_midnight

ASTHMA = said("Condition", "c", code=code("195967001", "Asthma"))
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"


def head(patient: dict[str, Any], at: datetime = NOW, **more: Any) -> str:
    whole = {"resourceType": "Patient", "id": "9990000018", **patient}
    document = json.loads(summarise(known(ASTHMA, patient=whole, **more), at).document)
    return plain_text(document["entry"][0]["resource"]["text"]["div"])


@pytest.mark.parametrize(
    ("patient", "words"),
    [
        ({"birthDate": "1944-02-11"}, "born 11 Feb 1944 (82 years)"),
        ({"birthDate": "1944-11-22"}, "(82 years)"),
        ({"birthDate": "1944-11-23"}, "(81 years)"),
        ({"birthDate": "1944"}, "born 1944 (about 82 years)"),
        ({"birthDate": "2026-11-21"}, "(1 day)"),
        ({"birthDate": "2026-10-11"}, "(6 weeks)"),
        ({"birthDate": "2025-11-11"}, "(12 months)"),
        ({"birthDate": "1944-02-11", "deceasedDateTime": "2010-02-10"}, "(died aged 65 years)"),
        ({"birthDate": "2030-01-01"}, "born 1 Jan 2030, "),
        ({"name": [{"family": "Now"}, {"use": "maiden", "family": "Then"}]}, "Previously known as Then"),
        ({"name": [{"family": "Now"}, {"use": "nickname", "text": "Nell"}]}, "Likes to be called Nell"),
        ({"telecom": [{"system": "phone", "value": "01632 960321", "use": "home"}]}, "Phone: 01632 960321 (home)"),
        ({"address": [{"line": ["1 Lane"], "postalCode": "ZZ99 1AA"}]}, "Address: 1 Lane, ZZ99 1AA"),
        ({"address": [{"use": "temp", "text": "with her sister"}]}, "Staying at: with her sister"),
        ({"generalPractitioner": [{"identifier": {"system": ODS, "value": "A81001"}}]}, "Harbour Street Surgery"),
        ({"generalPractitioner": [{"display": "Dr Ames"}]}, "Registered practice: Dr Ames"),
    ],
)  # fmt: skip
def test_the_header_says_it(patient: dict[str, Any], words: str) -> None:
    assert words in head(patient)


def test_what_is_no_longer_so_is_not_shown() -> None:
    ended = {"period": {"end": "2020-01-01"}}
    shown = head({"address": [{"text": "1 Lane", **ended}], "telecom": [{"system": "phone", "value": "1", **ended}]})
    assert "Lane" not in shown
    assert "Phone" not in shown


def test_a_protected_address_is_not_shown() -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    where = {"address": [{"text": "1 Hidden Lane"}], "telecom": [{"system": "phone", "value": "01632 960321"}]}
    shown = head({"meta": {"security": [label]}, **where})
    assert "Hidden" not in shown
    assert "960321" not in shown
    assert "protected" in shown


def test_the_summary_changes_at_the_next_birthday() -> None:
    for born, birthday in [("1944-12-01", date(2026, 12, 1)), ("1944-02-29", date(2027, 3, 1))]:
        patient = {"resourceType": "Patient", "id": "9990000018", "birthDate": born}
        assert summarise(known(ASTHMA, patient=patient), NOW).valid_until == uk_midnight(birthday)


def test_an_organisation_is_named_by_the_words_of_a_reference_if_no_directory_knows_it() -> None:
    reference = {"identifier": {"system": ODS, "value": "RW9"}, "display": "Moor Trust"}
    done = said("Procedure", "p", "RW9", code=code("80146002", "Appendicectomy"), performer=[{"actor": reference}])
    document = json.loads(summarise(known(done), NOW).document)
    assert "Moor Trust, sent" in plain_text(json.dumps(document["entry"][0]["resource"]["section"]))


@needs_clinical_cases
def test_the_shared_cases_have_former_name_and_interpreter() -> None:
    assert "Previously known as Rosa Maiden" in shown_case("84")[""]
    assert "Interpreter required" in shown_case("98")[""]
    assert "Phone: 01632 960321" in shown_case("98")[""]
