"""Statements of any type that tell of an allergy are read as such, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from onestory.record.merge.allergy_phrases import ACTIVE, DENIED, QUERIED, REFUTED, RESOLVED
from onestory.record.merge.allergy_reading import read_allergy

SNOMED = "http://snomed.info/sct"
DRUGS = frozenset(["medication", "biologic"])


def condition(words: str, **elements: Any) -> dict[str, Any]:
    return {"code": {"text": words}, **elements}


def observation(words: str, value: str | None = None, **elements: Any) -> dict[str, Any]:
    return {"code": {"text": words}, "status": "final", **({"valueString": value} if value else {}), **elements}


@pytest.mark.parametrize(
    ("words", "allergens"),
    [
        ("Allergy to penicillin", {"Penicillin"}),
        ("H/O: penicillin allergy", {"Penicillin"}),
        ("Allergic to bee stings", {"Bee venom"}),
        ("Anaphylaxis due to peanuts", {"Peanut"}),
        ("Adverse reaction to ibuprofen", {"Ibuprofen"}),
        ("Hypersensitivity to carbamazepine", {"Carbamazepine"}),
        ("Lactose intolerance", {"Lactose"}),
        ("Statin intolerance", {"Statin"}),
        ("Metformin intolerance", {"Metformin"}),
        ("Latex allergy", {"Latex"}),
        ("Contrast media allergy", {"Contrast media"}),
        ("Urticaria due to flucloxacillin", {"Flucloxacillin"}),
        ("Allergic contact dermatitis caused by nickel", {"Nickel"}),
        ("Egg allergy - may have flu vaccine in hospital", {"Egg", "Vaccine"}),
        ("Allergy to something without a name", set()),
    ],
)
def test_a_condition_that_names_an_allergy_is_one(words: str, allergens: set[str]) -> None:
    told = read_allergy("Condition", condition(words))

    assert told is not None
    assert (told.standing, set(told.allergens)) == (ACTIVE, allergens)


@pytest.mark.parametrize(
    "words",
    [
        "Allergic rhinitis",
        "Allergic rhinitis caused by grass pollen",
        "Allergic asthma",
        "Referral to allergy clinic",
        "Allergy testing",
        "Impaired glucose intolerance",
        "Exercise intolerance",
        "Intolerance of uncertainty",
        "Hypersensitivity pneumonitis",
        "Family history of penicillin allergy",
        "FH: nut allergy",
        "Desensitisation to wasp venom (allergy)",
        "Poisoning caused by paracetamol",
        "Penicillin",
        "Asthma",
    ],
)
def test_a_disease_a_test_and_a_relative_are_no_allergy_of_the_person(words: str) -> None:
    assert read_allergy("Condition", condition(words)) is None
    assert read_allergy("Observation", observation(words)) is None


@pytest.mark.parametrize(
    ("words", "standing"),
    [
        ("?Allergy to penicillin", QUERIED),
        ("Possible penicillin allergy", QUERIED),
        ("Suspected allergy to latex", QUERIED),
        ("Penicillin allergy - resolved", RESOLVED),
        ("Egg allergy, outgrown", RESOLVED),
        ("Penicillin allergy ruled out", REFUTED),
        ("Penicillin allergy de-labelled", REFUTED),
        ("No known drug allergies", DENIED),
        ("NKDA", DENIED),
        ("Not allergic to penicillin", DENIED),
        ("No latex allergy", DENIED),
        ("No known nut allergy", DENIED),
        ("NKDA. Allergic to nuts", ACTIVE),
    ],
)
def test_words_that_qualify_an_allergy_count(words: str, standing: str) -> None:
    told = read_allergy("Condition", condition(words))

    assert told is not None
    assert told.standing == standing


def test_a_denial_covers_the_categories_that_it_names() -> None:
    denied = {words: read_allergy("Condition", condition(words)) for words in ("NKDA", "No known allergies")}

    assert [each and each.categories for each in denied.values()] == [DRUGS, frozenset()]


def test_an_observation_of_allergies_has_the_allergen_as_its_value() -> None:
    told = read_allergy("Observation", observation("Allergies", "PENICILLIN - anaphylaxis"))
    none = read_allergy("Observation", observation("Drug allergies", "None"))
    coded = read_allergy(
        "Observation",
        observation("Allergy status", valueCodeableConcept={"coding": [{"system": SNOMED, "code": "716186003"}]}),
    )

    assert told is not None
    assert (told.words, told.standing, told.allergens) == (
        "PENICILLIN - anaphylaxis",
        ACTIVE,
        frozenset(["Penicillin"]),
    )
    assert none is not None
    assert (none.standing, none.categories) == (DENIED, DRUGS)
    assert coded is not None
    assert (coded.standing, coded.categories) == (DENIED, frozenset())


def test_a_measurement_is_no_allergy() -> None:
    ige = observation("Penicillin allergy score", valueQuantity={"value": 2})

    assert read_allergy("Observation", ige) is None


def test_the_end_of_a_reaction_is_no_end_of_the_allergy() -> None:
    over = {"clinicalStatus": {"coding": [{"code": "resolved"}]}, "abatementDateTime": "2026-06-01"}
    reaction = read_allergy("Condition", condition("Anaphylaxis to IV benzylpenicillin", **over))
    allergy = read_allergy("Condition", condition("Allergy to benzylpenicillin", **over))

    assert reaction is not None
    assert allergy is not None
    assert (reaction.standing, allergy.standing) == (ACTIVE, RESOLVED)


def test_a_code_without_words_tells_of_an_allergy() -> None:
    coded = {"code": {"coding": [{"system": SNOMED, "code": "300916003"}]}}

    told = {kind: read_allergy(kind, coded) for kind in ("Condition", "Flag", "AllergyIntolerance", "Observation")}

    assert [each and each.allergens for each in told.values()] == [frozenset(["Latex"])] * 4


def test_an_adverse_event_names_its_suspect() -> None:
    told = read_allergy(
        "AdverseEvent",
        {"event": {"text": "Adverse drug reaction"}, "suspectEntity": [{"instance": {"display": "Ramipril"}}]},
    )

    assert told is not None
    assert (told.words, told.allergens) == ("Adverse drug reaction (Ramipril)", frozenset(["Ramipril"]))


def test_the_longest_name_of_an_allergen_counts() -> None:
    told = read_allergy("AllergyIntolerance", {"code": {"text": "Penicillin V"}})

    assert told is not None
    assert told.allergens == {"Phenoxymethylpenicillin"}


def test_an_illness_that_a_medicine_caused_is_a_warning_and_no_allergy() -> None:
    told = read_allergy("Condition", condition("Gastric ulcer due to aspirin"))

    assert told is not None
    assert (told.standing, told.asserts, told.is_aside) == ("warning", False, True)
