"""A result that is told in words only is compared by its name: one value in two units is one result, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.merge.test_many_of_one_code import LOINC, merged, observed

from onestory.record.clinical_data import read_clinical_data
from onestory.record.merge.model import MergedRecord

AT = "2026-11-20T08:15:00Z"
LATER = "2026-11-20T08:25:00Z"


def named(name: str, value: float | None, unit: str, at: str = AT, **more: Any) -> dict[str, Any]:
    return observed(at, value, unit, **{"code": {"text": name}, **more})


def first_value(record: MergedRecord) -> object:
    return record.facts[0].shown.content["valueQuantity"]["value"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (named("Hb", 8.1, "g/dL"), named("Haemoglobin estimation", 81, "g/L")),
        (named("HbA1c", 6.5, "%"), named("HbA1c level", 48, "mmol/mol")),
        (named("Creatinine", 1.0, "mg/dL"), named("Serum creatinine level", 88, "umol/L")),
        (named("Serum bilirubin", 1.2, "mg/dL"), named("Bilirubin", 20.5, "umol/L")),
        (named("CRP (point of care)", 12.0, "mg/dL"), named("C reactive protein", 120, "mg/L")),
        (named("O/E - weight", 70, "kg"), named("Body weight", 70, "kg")),
        (named("Weight", 154.3, "lb"), named("Body weight", 70, "kg")),
        (named("INR", 2.4, "{INR}"), named("International normalised ratio", 2.4, "ratio")),
        (named("Local panel X", 4, "mmol/L"), named("local  panel x", 4, "mmol/L")),
        (named("Potassium", 4.1, "mmol/L"), named("Potassium", None, "", valueString="4.1 mmol/L")),
        (named("Glucose", 5.5, "mmol/L"), observed(AT, 99, "mg/dL", code={"coding": [
            {"system": LOINC, "code": "2345-7", "display": "Glucose"}]})),
    ],
)  # fmt: skip
def test_one_value_under_names_of_one_measurement_is_one_result(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(merged([one, other]).facts) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (named("Hb", 8.1, "g/dL"), named("Haemoglobin", 8.1, "g/L")),
        (named("Hb", 8.1, "g/dL"), named("Haemoglobin", 81, "g/L", LATER)),
        (named("Creatinine", 2.1, "mg/dL"), named("Creatinine", 88, "umol/L")),
        (named("Sodium", 140, "mmol/L"), named("Potassium", 140, "mmol/L")),
        (named("HDL cholesterol", 1.4, "mmol/L"), named("LDL cholesterol", 1.4, "mmol/L")),
        (named("Potassium", 4.1, "mmol/L"), named("Potassium", None, "", valueString="4.1 haemolysed")),
        (named("Troponin T", 3, "ng/L"), named("Troponin T", None, "", valueString="<3 ng/L")),
    ],
)
def test_other_results_stay_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(merged([one, other]).facts) == 2


def test_two_codes_are_never_joined_by_their_name() -> None:
    names = ("1111-1", "2222-2")
    coded = [
        observed(AT, 4, code={"coding": [{"system": LOINC, "code": each, "display": "Potassium"}]}) for each in names
    ]

    assert len(merged([*coded, named("Sodium", 1, "mmol/L")]).facts) == 3


@pytest.mark.parametrize("turned", [False, True])
def test_the_unit_that_the_uk_uses_leads(turned: bool) -> None:
    two = [named("Creatinine", 1.0, "mg/dL"), named("Creatinine", 88, "umol/L")]

    assert first_value(merged(two[::-1] if turned else two)) == 88


@pytest.mark.parametrize("turned", [False, True])
def test_a_share_leads_unless_it_is_of_haemoglobin_a1c(turned: bool) -> None:
    two = [named("HbA1c", 6.5, "%"), named("HbA1c", 48, "mmol/mol")]

    assert first_value(merged(two[::-1] if turned else two)) == 48
    assert first_value(merged([named("SpO2", 93, "%"), named("SpO2", 93, "%")])) == 93


def test_a_cancelled_result_without_a_code_marks_its_copy() -> None:
    record = merged([named("INR", None, "", status="cancelled"), named("International normalised ratio", 1.1, "ratio")])

    assert {each.kind for fact in record.facts for each in fact.conflicts} == {"negation"}


def test_a_correction_finds_a_copy_under_another_name() -> None:
    record = merged([named("Serum potassium", 4.3, "mmol/L", status="corrected"), named("Potassium", 7.2, "mmol/L")])

    assert {each.kind for fact in record.facts for each in fact.conflicts} == {"corrected"}


def test_each_measurement_on_two_scales_has_names_and_each_name_one_measurement() -> None:
    names = read_clinical_data("merge/result-names")["names"]

    assert {each["of"] for each in read_clinical_data("merge/units")["measurements"]} <= names.keys()
    every = [name for listed in names.values() for name in listed]
    assert len(every) == len(set(every))
    assert all(name == " ".join(name.casefold().split()) for name in every)
