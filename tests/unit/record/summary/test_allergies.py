"""The allergies of a summary: of every type, the most dangerous first, without noise and without silent conclusions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import (
    GP,
    HOSPITAL,
    NOW,
    Json,
    code,
    entries,
    known,
    said,
    sections,
    term,
    told,
)

from onestory.record.merge.model import Statement
from onestory.record.summary.document import summarise

PENICILLIN = code("91936005", "Allergy to penicillin")
ANAPHYLAXIS = {"manifestation": [code("39579001", "Anaphylaxis")]}
REFUTED: Json = {"verificationStatus": term("allergyintolerance-verification", "refuted")}
OLD = datetime(2012, 3, 1, 9, tzinfo=UTC)
SECTION = "Allergies and intolerances"


def allergy(name: str, concept: Any, organisation: str = GP, **elements: Any) -> Statement:
    return said("AllergyIntolerance", name, organisation, code=concept, **elements)


def shown(*statements: Statement) -> str:
    return told(*statements)[SECTION]


def ordered(text: str, *parts: str) -> bool:
    """Whether the text has these parts in this order."""
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


# Every type


@needs_clinical_cases
def test_a_problem_and_an_observation_tell_of_an_allergy() -> None:
    sections_shown = shown_case("35")

    assert ordered(sections_shown[SECTION], "Active", "Anaphylaxis to IV benzylpenicillin", "Allergy to penicillin")
    assert "PENICILLIN - anaphylaxis" in sections_shown[SECTION]
    assert "No source" not in sections_shown[SECTION]
    assert "PENICILLIN" not in sections_shown.get("Results", "")
    assert "Past illness" not in sections_shown


def test_each_type_that_can_hold_an_allergy_is_read() -> None:
    text = shown(
        said("Flag", "f", status="active", code={"text": "Latex allergy"}),
        said("AdverseEvent", "e", actuality="actual", event={"text": "Anaphylaxis to contrast"}),
        said("DetectedIssue", "d", status="final", code={"text": "Adverse reaction to codeine"}),
        said("Condition", "c", code={"text": "H/O: aspirin allergy"}),
        said("Observation", "o", status="final", code={"text": "Allergic reaction to bee sting"}),
    )

    for part in ("Latex allergy", "Anaphylaxis to contrast", "codeine", "H/O: aspirin allergy", "bee sting"):
        assert part in text


def test_an_allergy_as_a_problem_stays_an_entry_of_the_problems_without_a_line() -> None:
    problem = said("Condition", "c", code=PENICILLIN)
    summary = summarise(known(problem), NOW)

    assert entries(sections(summary)["48765-2"]) == []
    assert sections(summary)["48765-2"]["emptyReason"]["coding"][0]["code"] == "unavailable"
    assert entries(sections(summary)["11450-4"]) == [problem.shared_id]
    assert "shown among the allergies: Allergy to penicillin" in told(problem)["Problems"]


def test_the_allergy_of_a_relative_is_family_history() -> None:
    text = told(said("Condition", "c", code={"text": "FH: penicillin allergy"}))

    assert "FH: penicillin allergy" in text["Family history"]
    assert "penicillin" not in text[SECTION]


def test_an_allergy_entry_of_a_relative_is_told_as_family_history_and_joins_nothing() -> None:
    mother = allergy("m", PENICILLIN | {"text": "Mother allergic to penicillin"})
    own = allergy("o", PENICILLIN, HOSPITAL)

    assert ordered(shown(mother), "Family history", "Mother allergic to penicillin")
    assert "Active" not in shown(mother)
    assert ordered(shown(mother, own), "Active", "Allergy to penicillin", "Family history", "Mother allergic")
    assert "Sources disagree" not in shown(mother, own)


def test_an_allergy_in_the_words_of_a_list_is_shown() -> None:
    listed = said(
        "List",
        "l",
        status="current",
        mode="snapshot",
        code=code("886921000000105", "Allergies and adverse reactions"),
        entry=[{"item": {"display": "Elastoplast"}}],
    )

    assert "Elastoplast" in shown(listed)


def test_an_old_observation_of_an_allergy_does_not_grow_old_as_a_result() -> None:
    old = said(
        "Observation",
        "o",
        status="final",
        code={"text": "Allergies"},
        valueString="Trimethoprim",
        effectiveDateTime="2009-01-01",
    )

    assert "Trimethoprim" in told(old)[SECTION]
    assert "Results" not in told(old)


# Order


def test_the_most_dangerous_stands_first() -> None:
    text = shown(
        allergy("a", {"text": "Amlodipine"}, criticality="low"),
        allergy("b", {"text": "Bee venom"}),
        allergy("c", {"text": "Zinc"}, criticality="high"),
        allergy("d", {"text": "Yam"}, reaction=[ANAPHYLAXIS]),
        said("Condition", "e", HOSPITAL, code={"text": "Stevens-Johnson syndrome due to lamotrigine"}),
    )

    assert ordered(text, "Stevens-Johnson", "Zinc", "Bee venom", "Amlodipine")
    assert ordered(text, "Yam", "Zinc")


def test_a_doubtful_allergy_follows_a_confirmed_one_of_the_same_danger() -> None:
    unconfirmed: Json = {"verificationStatus": term("allergyintolerance-verification", "unconfirmed")}
    text = shown(allergy("a", {"text": "Apple"}, **unconfirmed), allergy("b", {"text": "Zinc"}))

    assert ordered(text, "Zinc", "Apple", "Not confirmed")


@pytest.mark.parametrize("words", ["active", "confirmed", "Criticality"])
def test_what_goes_without_saying_is_left_out(words: str) -> None:
    usual: Json = {
        "clinicalStatus": term("allergyintolerance-clinical", "active"),
        "verificationStatus": term("allergyintolerance-verification", "confirmed"),
    }
    text = shown(allergy("a", PENICILLIN, criticality="high", **usual))

    assert words not in text
    assert "High risk" in text


# Denials


@needs_clinical_cases
def test_a_denial_of_drug_allergies_stands_beside_a_nut_allergy_without_a_conflict() -> None:
    text = shown_case("32")[SECTION]

    assert ordered(text, "Active", "Allergy to nut", "None known, as stated", "No known drug allergy")
    assert "Sources disagree" not in text


@needs_clinical_cases
def test_an_old_denial_is_told_as_older_and_raises_no_alarm() -> None:
    text = shown_case("114")[SECTION]

    assert ordered(text, "Active", "Allergy to bee venom", "None known, as stated", "No known allergy")
    assert "Older than the allergy above (recorded 1 Jul 2026)" in text
    assert "recorded 1 Mar 2012" in text
    assert "Sources disagree" not in text


@needs_clinical_cases
def test_an_empty_list_is_told_with_its_date() -> None:
    text = shown_case("38")[SECTION]

    assert ordered(text, "Active", "Latex allergy", "Not confirmed", "None known", "List of 1 Feb 2022")


def test_a_denial_that_is_newer_than_the_allergy_disagrees_on_both_lines() -> None:
    text = shown(
        allergy("a", PENICILLIN, recorded=OLD),
        allergy("n", code("716186003", "No known allergy"), HOSPITAL),
    )

    assert "Sources disagree: Vale Royal Hospital says “No known allergy”, sent 22 Nov 2026" in text
    assert "Sources disagree: Allergy to penicillin is recorded above" in text


def test_a_denial_in_words_is_no_active_allergy() -> None:
    text = shown(said("Condition", "c", code={"text": "NKDA"}))

    assert ordered(text, "None known, as stated", "NKDA")
    assert "Active" not in text


# One substance, several codes; classes


@needs_clinical_cases
def test_the_codes_of_one_substance_are_one_line_with_the_worst_reaction() -> None:
    text = shown_case("29")[SECTION]

    assert text.count("as “Penicillin”") == 1
    assert ordered(text, "Active", "Penicillin", "Anaphylaxis", "Allergy to amoxicillin", "Eruption of skin")
    assert "See also, the class that this belongs to: Penicillin" in text


@needs_clinical_cases
def test_a_class_that_was_ruled_out_is_told_at_its_member() -> None:
    text = shown_case("30")[SECTION]

    assert "Ruled out for the class that this belongs to: Allergy to penicillin" in text
    assert text.count("penicillins safe. Please de-label.") == 2
    assert "Still recorded for a member of this class: Allergy to phenoxymethylpenicillin" in text


@needs_clinical_cases
def test_a_challenge_is_told_at_the_allergy_with_its_date() -> None:
    text = shown_case("113")[SECTION]

    said_there = "RZ3 says it was ruled out, recorded 1 Oct 2026: “Oral challenge negative 1 Oct 2026”"
    assert ordered(text, "Active", "Allergy to penicillin", f"Sources disagree: {said_there}", "Ruled out")


@needs_clinical_cases
def test_an_outgrown_allergy_has_both_sides_with_dates() -> None:
    text = shown_case("36")[SECTION]

    assert "says it has gone, recorded 1 May 2019: “Tolerates baked and whole egg. Outgrown.”" in text
    assert text.count("Outgrown") == 1
    assert "recorded 1 May 2014" in text


@needs_clinical_cases
def test_an_allergy_and_an_intolerance_are_told_apart() -> None:
    text = shown_case("31")[SECTION]

    assert "Allergy or intolerance: allergy, says RZ3; intolerance, says A81001" in text
    assert ordered(text, "High risk", "Anaphylaxis", "Nausea")


@needs_clinical_cases
def test_a_product_and_its_substance_name_each_other() -> None:
    text = shown_case("37")[SECTION]

    assert "See also, the same substance: Tegretol 200mg tablets" in text
    assert "See also, the same substance: Carbamazepine" in text


@needs_clinical_cases
def test_a_withdrawn_allergy_that_a_copy_still_states_says_so() -> None:
    assert "A81001 took this back as entered in error, sent 20 Nov 2026" in shown_case("88")[SECTION]


# Names


@needs_clinical_cases
def test_the_words_name_an_allergy_whose_code_was_lost() -> None:
    text = shown_case("34")[SECTION]

    assert "Augmentin-Duo 400/57 oral suspension" in text
    assert "Elastoplast / zinc oxide tape" in text
    assert "ransfer-degraded" not in text


def test_an_allergy_without_any_name_says_so() -> None:
    assert "Allergen not named by its source" in shown(allergy("a", {"text": "Transfer-degraded drug allergy"}))
    assert "Septrin rash" in shown(allergy("a", {"text": "Transfer-degraded drug allergy: Septrin rash"}))


# Medicines


@needs_clinical_cases
def test_a_current_medicine_of_the_class_is_told_at_both_lines() -> None:
    text = shown_case("24")

    assert "Current medicine: Co-amoxiclav 500mg/125mg tablets (belongs to: Penicillin), RYE99" in text[SECTION]
    assert "Allergy recorded: Allergy to penicillin" in text["Medicines"]


def medicine(name: str, **elements: Any) -> Statement:
    return said(
        "MedicationStatement", "m", **{"status": "active", "medicationCodeableConcept": {"text": name}} | elements
    )


@pytest.mark.parametrize(
    ("allergen", "name"),
    [
        ("Penicillin", "Flucloxacillin 500mg capsules"),
        ("Amoxicillin", "Phenoxymethylpenicillin 250mg tablets"),
        ("Non-steroidal anti-inflammatory drug", "Naproxen 500mg tablets"),
        ("Codeine", "Co-codamol 30mg/500mg tablets"),
        ("Sulfa drugs", "Septrin 480mg tablets"),
        ("Ramipril", "Lisinopril 5mg tablets"),
    ],
)
def test_a_medicine_that_meets_an_allergy_is_named(allergen: str, name: str) -> None:
    assert f"Current medicine: {name}" in shown(allergy("a", {"text": allergen}), medicine(name))


@pytest.mark.parametrize(
    ("concept", "taken"),
    [
        ({"text": "Penicillin"}, medicine("Insulin pen needles")),
        ({"text": "Codeine"}, medicine("Morphine 10mg tablets")),
        ({"text": "Egg"}, medicine("Influenza vaccine (egg grown)")),
        ({"text": "Penicillin"}, medicine("Amoxicillin 500mg capsules", status="stopped")),
        ({"text": "Penicillin"}, medicine("Amoxicillin 500mg capsules", effectivePeriod={"end": "2025-01-01"})),
    ],
)
def test_no_hint_without_need(concept: Json, taken: Statement) -> None:
    assert "Current medicine" not in shown(allergy("a", concept), taken)


def test_an_allergy_that_was_ruled_out_names_no_medicine() -> None:
    text = told(allergy("a", PENICILLIN, **REFUTED), medicine("Amoxicillin 500mg capsules"))

    assert "Current medicine" not in text[SECTION]
    assert "Allergy recorded" not in text["Medicines"]
