"""Wordings of allergies: denials, what nobody knows, reactions to a medicine, and what lost its code in a transfer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.test_problems import ACTIVE, groups
from tests.unit.record.summary.written import GP, HOSPITAL, code, said, told

from onestory.record.merge.allergy_phrases import ACTIVE as IS_ACTIVE
from onestory.record.merge.allergy_phrases import DENIED, QUERIED, REFUTED, RESOLVED, UNKNOWN
from onestory.record.merge.allergy_reading import read_allergy
from onestory.record.merge.model import Statement

ALLERGIES = "Allergies and intolerances"
DEGRADED = "Transfer-degraded record entry"


def allergy(words: str, organisation: str = GP, **elements: Any) -> Statement:
    local_id = "".join(letter for letter in words.lower() if letter.isalnum())[:30]
    return said("AllergyIntolerance", local_id, organisation, **{"code": {"text": words}, **elements})


def condition(local_id: str, words: str, **elements: Any) -> Statement:
    return said("Condition", local_id, **{"code": {"text": words}, "clinicalStatus": ACTIVE, **elements})


@pytest.mark.parametrize(
    ("words", "standing"),
    [
        ("Nil", DENIED),
        ("None known", DENIED),
        ("Allergies: nil", DENIED),
        ("Drug allergies - none", DENIED),
        ("No known drug or food allergies", DENIED),
        ("No allergies known", DENIED),
        ("Unknown", UNKNOWN),
        ("Allergy status: not recorded", UNKNOWN),
        ("Not on file", UNKNOWN),
        ("Latex - not allergic", REFUTED),
        ("Peanut - outgrown", RESOLVED),
        ("?Codeine", QUERIED),
        ("H/O ibuprofen allergy", IS_ACTIVE),
        ("No penicillin - rash", IS_ACTIVE),
        ("Not penicillin but ampicillin", IS_ACTIVE),
        ("Penicillin, not confirmed", QUERIED),
    ],
)
def test_an_allergy_intolerance_means_what_its_words_say(words: str, standing: str) -> None:
    reading = read_allergy("AllergyIntolerance", {"code": {"text": words}})

    assert reading is not None
    assert reading.standing == standing


def test_a_code_of_an_allergen_is_not_denied_by_an_empty_word() -> None:
    reading = read_allergy(
        "AllergyIntolerance", {"code": {**code("91936005", "Allergy to penicillin"), "text": "None"}}
    )

    assert reading is not None
    assert reading.standing == IS_ACTIVE


@pytest.mark.parametrize(
    ("words", "standing"),
    [
        ("Amoxicillin - rash", IS_ACTIVE),
        ("Angio-oedema with ramipril", IS_ACTIVE),
        ("ACE inhibitor cough", IS_ACTIVE),
        ("Heparin-induced thrombocytopenia", IS_ACTIVE),
        ("ADR to NSAIDs", IS_ACTIVE),
        ("Sensitive to plasters", IS_ACTIVE),
        ("Reacts to elastoplast", IS_ACTIVE),
        ("Do not give penicillin", IS_ACTIVE),
        ("Denies penicillin allergy", REFUTED),
        ("Previous penicillin allergy label removed", REFUTED),
        ("Penicillin allergy - unlikely", QUERIED),
    ],
)
def test_a_condition_with_such_words_tells_of_an_allergy(words: str, standing: str) -> None:
    reading = read_allergy("Condition", {"code": {"text": words}})

    assert reading is not None
    assert reading.standing in ((DENIED, REFUTED) if standing == REFUTED else (standing,))
    assert reading.allergens


@pytest.mark.parametrize(
    "words",
    [
        "Rash treated with flucloxacillin and review",
        "Cough, on ramipril for hypertension",
        "Nausea in pregnancy",
        "GI bleed on aspirin",
        "Fear of allergy",
        "Mother allergic to penicillin",
        "Swelling of knee",
    ],
)
def test_these_words_tell_of_no_allergy_of_the_person(words: str) -> None:
    assert read_allergy("Condition", {"code": {"text": words}}) is None


def test_words_that_forbid_a_medicine_are_no_denial_of_its_allergy() -> None:
    section = told(allergy("No penicillin - rash"), allergy("Penicillin", HOSPITAL))[ALLERGIES]

    assert "Sources disagree" not in section
    assert "Ruled out" not in section


def test_an_empty_word_does_not_hide_the_name_of_the_code() -> None:
    written = {**code("294505008", "Amoxicillin allergy"), "text": "Nil"}

    assert "Amoxicillin allergy" in told(allergy("x", code=written))[ALLERGIES]


def test_what_a_source_does_not_know_is_no_allergy_and_no_denial() -> None:
    section = told(allergy("Allergy status unknown"), allergy("No known allergies", HOSPITAL))[ALLERGIES]

    denied, unknown = groups(section, "None known, as stated", "The source does not know")
    assert "No known allergies" in denied
    assert "Allergy status unknown" in unknown
    assert "Sources disagree" not in section


def test_the_code_for_no_information_is_not_shown_as_ruled_out() -> None:
    system = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
    written = {"coding": [{"system": system, "code": "no-allergy-info"}]}

    assert "The source does not know" in told(allergy("x", code=written))[ALLERGIES]


def test_a_problem_that_lost_its_code_is_named_by_its_words() -> None:
    lost = {"coding": [{"system": "http://snomed.info/sct", "code": "196411000000103", "display": DEGRADED}]}
    shown = told(
        condition("one", "", code=lost, note=[{"text": "Original text: Hiatus hernia"}]),
        condition("two", "", code={**lost, "text": "Crohn's - ileal resection"}),
        condition("three", "Transfer-degraded drug allergy (Co-trimoxazole)"),
    )

    assert "Hiatus hernia" in shown["Problems"]
    assert DEGRADED not in shown["Problems"]
    assert "Transfer-degraded" not in shown[ALLERGIES]
    assert "Co-trimoxazole" in shown[ALLERGIES]


def test_an_observation_of_family_history_stands_in_the_family_history() -> None:
    written = code("429740004", "Family history of malignant neoplasm of breast")
    shown = told(said("Observation", "fh", status="final", code=written, valueString="Mother, age 44"))

    assert "Mother, age 44" in shown["Family history"]
    assert "Results" not in shown


def test_a_problem_that_a_list_names_in_words_only_is_shown() -> None:
    listed = {"coding": [{"system": "http://loinc.org", "code": "11450-4"}]}
    entry = [{"item": {"display": "Addison's disease"}}]
    shown = told(said("List", "list", status="current", mode="working", code=listed, entry=entry))

    assert "Addison's disease" in shown["Problems"]
