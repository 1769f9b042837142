"""What free text tells of harm, of other people, and of where a person at risk lives is not in the person's copy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.record.summary.test_person_copy import ACTIVE, ASTHMA, copied, labelled
from tests.unit.record.summary.written import HOSPITAL, NOW, PATIENT, known, said

from onestory.record.merge.model import Statement
from onestory.record.summary.document import summarise

HOME: dict[str, Any] = {
    **PATIENT,
    "address": [{"line": ["14 Elm Road"], "postalCode": "LS1 4AB"}],
    "telecom": [{"system": "phone", "value": "07700 900777"}],
}
OF_SOURCE = {**HOME, "id": "patient-rz3", "address": [{"line": ["Flat 9, Rowan House"]}]}


def plan(words: str) -> Statement:
    return said("CarePlan", "plan", status="active", intent="plan", title="Home care", description=f"Kept {words}")


def observed(words: str) -> Statement:
    return said("Observation", "o", status="final", code={"text": "Social note"}, valueString=f"Kept {words}")


@pytest.mark.parametrize(
    "words",
    [
        "Moved to a women's refuge",
        "Her partner must not know",
        "Assaulted in March",
        "injuries after being hit by her partner",
        "Afraid of her son",
        "Daughter reports that he drinks",
        "his mother has told us",
        "Neighbour rang in the night",
        "informed by his wife",
        "asked us not to tell him",
    ],
)
@pytest.mark.parametrize("written", [plan, observed])
def test_an_entry_that_tells_of_harm_or_the_word_of_others_is_left_out(written: Any, words: str) -> None:
    assert b"Kept" in summarise(known(written(words)), NOW).document
    assert "Kept" not in copied(ASTHMA, written(words))


@pytest.mark.parametrize(
    "words",
    [
        "Lives with daughter",
        "Hit by a car in 2019",
        "Left-sided neglect after stroke",
        "Wife gives the tablets",
        "Afraid of needles",
        "Independent with grooming",
        "Reports pain in the morning",
    ],
)
def test_an_entry_about_the_person_stays(words: str) -> None:
    assert f"Kept {words}" in copied(ASTHMA, plan(words))


@pytest.mark.parametrize(
    "words",
    ["Visit at 14 Elm Road", "Post code LS14AB", "ring 07700900777 only", "New flat: 12 Rose Lane", "at M1 1AE"],
)
def test_no_text_tells_where_a_person_at_risk_lives(words: str) -> None:
    assert f"Kept {words}" in copied(ASTHMA, plan(words), patient=HOME)
    assert "Kept" not in copied(ASTHMA, labelled("R"), plan(words), patient=HOME)


def test_an_address_that_only_one_source_holds_is_protected_too() -> None:
    patient = said("Patient", "patient", HOSPITAL, **{key: OF_SOURCE[key] for key in ("name", "address")})
    copy = copied(ASTHMA, labelled("V"), patient, plan("Visit at flat 9 Rowan House"), patient=HOME)
    assert "Kept" not in copy


def test_a_label_on_the_patient_protects_the_texts() -> None:
    labelled_patient = {
        **HOME,
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]},
    }
    of_source = said("Patient", "patient", HOSPITAL, **{k: v for k, v in labelled_patient.items() if k != "id"})

    assert "Kept" not in copied(ASTHMA, of_source, plan("Visit at 14 Elm Road"), patient=HOME)


def test_an_entry_that_names_another_person_is_left_out_but_not_the_persons_own_words() -> None:
    kin = said("RelatedPerson", "kin", name=[{"given": ["Ann", "May"], "family": "Case"}])
    own = said(
        "DocumentReference",
        "own",
        status="current",
        type={"coding": [{"system": "http://loinc.org", "code": "81338-6"}]},
        description="Own words: call Ann Case",
    )

    copy = copied(ASTHMA, kin, own, plan("Ann Case visits"))

    assert "Kept" not in copy
    assert "Own words" in copy


def test_an_allergy_stays_without_the_note_of_somebody_else() -> None:
    notes = [{"text": "Mother says that he had a rash"}, {"text": "Rash in 2001"}]
    reaction = [{"manifestation": [{"text": "Hives"}], "description": "Mother said that he went blue"}]
    allergy = said(
        "AllergyIntolerance", "a", clinicalStatus=ACTIVE, code={"text": "Penicillin"}, note=notes, reaction=reaction
    )

    copy = copied(ASTHMA, allergy)

    assert "Penicillin" in copy
    assert "Rash in 2001" in copy
    assert "Hives" in copy
    assert "Mother" not in copy


def test_the_summary_for_staff_keeps_all_of_it() -> None:
    document = json.loads(summarise(known(plan("Her partner must not know")), NOW).document)

    assert "must not know" in json.dumps(document)
