"""Where the code and the words of a source name two different things, the reader sees both."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import SNOMED, said, term, told


def concept(words: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": SNOMED, "code": "326875006", "display": display}], "text": words}


def medicine(words: str, display: str) -> str:
    request = said(
        "MedicationRequest", "m", status="active", intent="order", medicationCodeableConcept=concept(words, display)
    )
    return told(request)["Medicines"]


@needs_clinical_cases
def test_a_medicine_with_the_code_of_another_shows_both() -> None:
    medicines = shown_case("99")["Medicines"]

    assert (
        "The code says “Methotrexate 10mg tablets”, the words say “Metoclopramide 10mg tablets”: ask which is meant."
        in medicines
    )


@pytest.mark.parametrize(
    ("words", "display"),
    [
        ("Propranolol 40mg tablets", "Prednisolone 5mg tablets"),
        ("Methotrexate 2.5mg tablets", "Methotrexate 10mg tablets"),
    ],
)
def test_another_ingredient_or_strength_has_a_sign(words: str, display: str) -> None:
    assert f"The code says “{display}”, the words say “{words}”" in medicine(words, display)


@pytest.mark.parametrize(
    ("words", "display"),
    [
        ("Ventolin inhaler", "Salbutamol 100micrograms/dose inhaler"),
        ("METHOTREXATE 2.5 mg tabs", "Methotrexate 2.5mg tablets"),
        ("Paracetamol 1g", "Paracetamol 500mg tablets"),
        ("Ramipril 5 mg capsules", "Ramipril 5mg capsules"),
    ],
)
def test_a_brand_or_another_spelling_has_no_sign(words: str, display: str) -> None:
    assert "The code says" not in medicine(words, display)


def test_an_allergy_with_the_code_of_another_allergen_has_a_sign() -> None:
    active = term("allergyintolerance-clinical", "active")
    other = told(said("AllergyIntolerance", "a", clinicalStatus=active, code=concept("Latex", "Allergy to penicillin")))
    same = told(said("AllergyIntolerance", "a", clinicalStatus=active, code=concept("Pen V", "Allergy to penicillin")))

    assert "The code says “Allergy to penicillin”" in other["Allergies and intolerances"]
    assert "The code says" not in same["Allergies and intolerances"]


def test_a_problem_in_other_words_names_its_code_quietly() -> None:
    active = term("condition-clinical", "active")
    other = told(said("Condition", "c", clinicalStatus=active, code=concept("Sugar problem", "Diabetes mellitus")))
    same = told(said("Condition", "c", clinicalStatus=active, code=concept("Diabetic, type 2", "Diabetes mellitus")))

    assert "Coded as “Diabetes mellitus”" in other["Problems"]
    assert "Coded as" not in same["Problems"]
