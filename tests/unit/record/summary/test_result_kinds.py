"""Which results stand in one row, what a row is called, and which facts with a number never grow old as results."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, said, told

from onestory.record.merge.model import Statement

AT = "2026-11-18T09:00:00Z"
OLD = "2024-01-10"


def result(local_id: str, name: str, value: float, unit: str, organisation: str = GP, **more: Any) -> Statement:
    quantity = {"value": value, "unit": unit}
    elements = {"status": "final", "code": {"text": name}, "effectiveDateTime": AT, "valueQuantity": quantity, **more}
    return said("Observation", local_id, organisation, **elements)


def test_results_of_one_measurement_under_two_names_stand_in_one_row() -> None:
    results = told(
        result("a", "Serum potassium", 4.1, "mmol/L"),
        result("b", "Potassium", 5.2, "mmol/L", HOSPITAL, effectiveDateTime="2026-11-19T09:00:00Z"),
    )["Results"]

    assert "Potassium5.2 mmol/L" in results
    assert "Serum" not in results.partition("Source")[2].partition("as “")[0]
    assert "4.1 mmol/L" in results


@pytest.mark.parametrize("name", ["Urine", "24 hour urine", "Pleural fluid"])
def test_a_result_of_another_specimen_has_a_row_that_names_it(name: str) -> None:
    results = told(
        result("a", "Sodium", 140, "mmol/L", specimen={"display": "Venous blood"}),
        result("b", "Sodium", 25, "mmol/L", specimen={"display": name}),
    )["Results"]

    assert f"Sodium ({name})25 mmol/L" in results
    assert "Sodium140 mmol/L" in results
    assert "blood" not in results


@pytest.mark.parametrize("name", ["EDTA whole blood", "Serum (SST)", "26B/1234567", "Not specified"])
def test_a_usual_specimen_or_its_number_is_not_told(name: str) -> None:
    assert f"({name})" not in told(result("a", "Sodium", 140, "mmol/L", specimen={"display": name}))["Results"]


def test_a_specimen_is_found_behind_its_reference() -> None:
    specimen = said("Specimen", "s", type={"text": "Urine"})
    results = told(specimen, result("a", "Sodium", 25, "mmol/L", specimen={"reference": "Specimen/s-a81001"}))

    assert "Sodium (Urine)" in results["Results"]


def test_two_values_of_one_time_in_two_units_are_to_be_checked() -> None:
    differing = (result("a", "Creatinine", 2.1, "mg/dL"), result("b", "Creatinine", 88, "umol/L", HOSPITAL))
    same = (result("a", "Creatinine", 1.0, "mg/dL"), result("b", "Creatinine", 88, "umol/L", HOSPITAL))
    day = {"effectiveDateTime": "2026-11-18"}
    of_a_day = (result("a", "Creatinine", 2.1, "mg/dL", **day), result("b", "Creatinine", 88, "umol/L", **day))

    assert "Check: " in told(*differing)["Results"]
    assert "Check: " not in told(*same)["Results"]
    assert "Check: " not in told(*of_a_day)["Results"]


@pytest.mark.parametrize(
    ("other", "is_told"),
    [
        (result("b", "Potassium", 7.2, "mmol/L", HOSPITAL), True),
        (result("b", "Potassium", 4.12, "mmol/L", HOSPITAL), False),
        (result("b", "Potassium", 7.2, "mmol/L"), False),
        (result("b", "Potassium", 7.2, "mmol/L", HOSPITAL, effectiveDateTime="2026-11-18T09:05:00Z"), False),
        (result("b", "Potassium", 7.2, "mmol/L", HOSPITAL, status="corrected"), False),
        (result("b", "Sodium", 140, "mmol/L", HOSPITAL), False),
    ],
)
def test_two_organisations_with_two_values_of_one_time_are_to_be_checked(other: Statement, is_told: bool) -> None:
    results = told(result("a", "Potassium", 4.1, "mmol/L"), other)["Results"]

    assert ("Check: " in results) is is_told


def test_vital_signs_of_one_minute_may_differ() -> None:
    vital: dict[str, Any] = {"category": [{"coding": [{"code": "vital-signs"}]}]}
    pulses = (result("a", "Pulse", 80, "/min", **vital), result("b", "Pulse", 84, "/min", HOSPITAL, **vital))

    assert "Check: " not in told(*pulses)["Vital signs"]


@pytest.mark.parametrize("turned", [False, True])
def test_a_final_report_stands_before_a_preliminary_copy(turned: bool) -> None:
    reports = [
        said(
            "DiagnosticReport",
            local_id,
            organisation,
            status=status,
            code={"text": "Blood culture"},
            effectiveDateTime=AT,
            conclusion=status.upper(),
        )
        for local_id, organisation, status in zip(
            ("b", "a") if turned else ("a", "b"), (GP, HOSPITAL), ("preliminary", "final"), strict=True
        )
    ]
    results = told(*reports)["Results"]

    assert results.index("FINAL") < results.index("PRELIMINARY")


@pytest.mark.parametrize(
    ("name", "value", "unit"),
    [
        ("Alcohol consumption", 35, "units/week"),
        ("Cigarettes smoked per day", 20, "/d"),
        ("Pack years", 40, "{PackYears}"),
        ("Rockwood Clinical Frailty Scale", 7, "{score}"),
        ("AUDIT-C score", 9, "{score}"),
        ("Target weight", 60, "kg"),
    ],
)
def test_a_habit_score_or_target_with_a_number_is_no_result_that_grows_old(name: str, value: int, unit: str) -> None:
    sections = told(result("a", name, value, unit, effectiveDateTime=OLD))

    assert "Results" not in sections
    assert name in sections["Social history and other facts"]


@pytest.mark.parametrize(
    ("name", "category"),
    [("Serum alcohol level", ""), ("Expired carbon monoxide, smoker", ""), ("Alcohol", "laboratory")],
)
def test_what_is_measured_stays_a_result(name: str, category: str) -> None:
    sections = told(result("a", name, 80, "mg/dL", category=[{"coding": [{"code": category or "other"}]}]))

    assert name in sections["Results"]
    assert "Social history and other facts" not in sections


def test_a_row_with_two_units_says_so() -> None:
    earlier = result("b", "Haemoglobin", 72, "g/L", HOSPITAL, effectiveDateTime="2026-11-12T09:00:00Z")
    other_name = result("b", "Pressure", 134, "mm[Hg]", HOSPITAL, effectiveDateTime="2026-11-12T09:00:00Z")

    assert "Units differ: g/dL, g/L." in told(result("a", "Hb", 8.6, "g/dL"), earlier)["Results"]
    assert "Units differ" not in told(result("a", "Pressure", 130, "mmHg"), other_name)["Results"]
