"""One vaccination is one line, two doses are two; what was declined, not done or has ended is shown."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, people_of, shown, shown_case

SNOMED = "http://snomed.info/sct"
SUBJECT = {"reference": "Patient/9997700562"}
VACCINATION = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-VaccinationProcedure"


def concept(code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": SNOMED, "code": code, "display": display}]}


def vaccination(place: str, vaccine: dict[str, Any], at: str = "2026-10-03", **more: Any) -> dict[str, Any]:
    plain = {"resourceType": "Immunization", "id": place, "status": "completed", "vaccineCode": vaccine}
    return {**plain, "patient": SUBJECT, "occurrenceDateTime": at, **more}


def summary_of(*said: tuple[str, dict[str, Any]]) -> dict[str, str]:
    """The sections of the summary of what these organisations state."""
    steps = []
    for organisation, content in said:
        request = {"method": "PUT", "url": f"{content['resourceType']}/{content['id']}"}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": content, "request": request}]}
        steps.append({"org": organisation, "system": "any", "body": bundle})
    return shown(people_of(steps)[0])


UNKNOWN = concept("261665006", "Unknown")
PNEUMOCOCCAL = concept("39114911000001105", "Pneumovax 23 vaccine")


@pytest.mark.parametrize("element", ["extension", "procedure", "observation"])
def test_a_copy_by_procedure_code_is_the_vaccination_that_the_product_names(element: str) -> None:
    given = concept("12866006", "Pneumococcal vaccination")
    copies = {
        "extension": vaccination("c", UNKNOWN, extension=[{"url": VACCINATION, "valueCodeableConcept": given}]),
        "procedure": {
            "resourceType": "Procedure", "id": "c", "status": "completed", "code": given, "subject": SUBJECT,
            "performedDateTime": "2026-10-03",
        },
        "observation": {
            "resourceType": "Observation", "id": "c", "status": "final", "code": given, "subject": SUBJECT,
            "effectiveDateTime": "2026-10-03",
        },
    }  # fmt: skip
    summary = summary_of(("FHM12", vaccination("a", PNEUMOCOCCAL)), ("A81001", copies[element]))

    lines = summary["Immunisations"]
    assert lines.count("Newest first") == 1
    assert "Unknown\n" not in lines
    assert "A81001" in lines
    assert not {"Procedures", "Results", "Social history"} & summary.keys()


def test_vaccinations_of_another_kind_or_day_stay_apart() -> None:
    flu = {"resourceType": "Procedure", "id": "c", "status": "completed", "subject": SUBJECT}
    flu |= {"code": concept("86198006", "Influenza vaccination"), "performedDateTime": "2026-10-03"}
    later = {**flu, "code": concept("12866006", "Pneumococcal vaccination"), "performedDateTime": "2026-10-04"}

    for copy in (flu, later):
        assert "Procedures" in summary_of(("FHM12", vaccination("a", PNEUMOCOCCAL)), ("A81001", copy))


@pytest.mark.parametrize(
    "apart",
    [
        [
            {"site": concept("16217701000119102", "Left deltoid")},
            {"site": concept("16217661000119109", "Right deltoid")},
        ],
        [{"protocolApplied": [{"doseNumberPositiveInt": 1}]}, {"protocolApplied": [{"doseNumberPositiveInt": 2}]}],
    ],
)
def test_two_doses_of_one_day_in_two_sources_stay_two(apart: list[dict[str, Any]]) -> None:
    one, other = apart
    lines = summary_of(
        ("RZ3", vaccination("a", PNEUMOCOCCAL, **one)), ("A81001", vaccination("b", PNEUMOCOCCAL, **other))
    )["Immunisations"]

    assert lines.count("Pneumovax") == 2


def test_the_dose_of_any_source_is_shown() -> None:
    with_dose = vaccination("a", PNEUMOCOCCAL, protocolApplied=[{"doseNumberPositiveInt": 2}])
    lines = summary_of(("RZ3", with_dose), ("A81001", vaccination("b", PNEUMOCOCCAL)))["Immunisations"]

    assert lines.count("Pneumovax") == 1
    assert "Dose 2" in lines


def test_what_was_declined_or_not_done_is_shown_with_its_reason() -> None:
    declined = vaccination("a", PNEUMOCOCCAL, status="not-done", statusReason={"text": "Fears needles"})
    not_done = {"resourceType": "Procedure", "id": "p", "status": "not-done", "subject": SUBJECT}
    not_done |= {"code": {"text": "Cervical smear"}, "performedDateTime": "2026-09-01"}
    not_done |= {"statusReason": {"text": "Did not attend"}}
    summary = summary_of(("A81001", declined), ("A81001", not_done))

    assert "Declined or not given" in summary["Immunisations"]
    assert "Not done: Fears needles" in summary["Immunisations"]
    assert "Not done: Did not attend" in summary["Procedures"]
    assert "1 Sep 2026" in summary["Procedures"]


@needs_clinical_cases
def test_one_flu_jab_under_three_codes_is_one_line() -> None:
    summary = shown_case("56")

    assert "Procedures" not in summary
    assert "Unknown\n" not in summary["Immunisations"]
    assert all(each in summary["Immunisations"] for each in ("A81001", "FHM12", "by pharmacist"))


@needs_clinical_cases
def test_two_doses_in_two_arms_keep_their_numbers() -> None:
    lines = shown_case("57")["Immunisations"]

    assert all(each in lines for each in ("Dose 1", "Left deltoid", "Dose 2", "Right deltoid"))


@needs_clinical_cases
def test_a_refused_vaccination_and_the_given_one_are_shown() -> None:
    lines = shown_case("59")["Immunisations"]

    assert "Not done: Parent refused after discussion" in lines
    assert "Given in Poland" in lines


@needs_clinical_cases
def test_a_declined_screening_and_an_ended_device_are_named() -> None:
    summary = shown_case("103")

    assert "Not done: Patient declined" in summary["Procedures"]
    assert "No longer in use: Urinary catheter" in summary["Devices"]
