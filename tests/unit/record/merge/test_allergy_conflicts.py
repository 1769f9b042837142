"""Conflicts of allergies reach across codes and resource types, and no further."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, code, said, term

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.rules import merge_rules

PENICILLIN = code("91936005", "Allergy to penicillin")
REFUTED: dict[str, Any] = {"verificationStatus": term("allergyintolerance-verification", "refuted")}
NO_DRUG_ALLERGY = said(
    "AllergyIntolerance", "nkda", HOSPITAL, code=code("409137002", "No known drug allergy"), category=["medication"]
)


def facts(*statements: Statement) -> list[set[str]]:
    """The organisations of each fact."""
    return [{each.organisation for each in fact.members} for fact in merge(statements, merge_rules()).facts]


def kinds(*statements: Statement) -> set[str]:
    """The kinds of all conflicts."""
    return {conflict.kind for fact in merge(statements, merge_rules()).facts for conflict in fact.conflicts}


def allergy(name: str, concept: Any, organisation: str = GP, **elements: Any) -> Statement:
    return said("AllergyIntolerance", name, organisation, code=concept, **elements)


@pytest.mark.parametrize("other", ["764146007", "373270004"])
def test_the_codes_of_one_substance_make_one_fact(other: str) -> None:
    statements = [allergy("one", PENICILLIN), allergy("two", code(other, "Penicillin"), HOSPITAL)]

    assert facts(*statements) == [{GP, HOSPITAL}]


def test_a_class_and_its_member_stay_two_facts() -> None:
    member = allergy("two", code("294505008", "Allergy to amoxicillin"), HOSPITAL)

    assert facts(allergy("one", PENICILLIN), member) == [{GP}, {HOSPITAL}]
    assert kinds(allergy("one", PENICILLIN, **REFUTED), member) == set()


def test_an_allergy_as_a_condition_contradicts_one_that_was_ruled_out() -> None:
    problem = said("Condition", "problem", code=PENICILLIN)
    refuted = allergy("refuted", code("764146007", "Penicillin"), HOSPITAL, **REFUTED)

    assert kinds(problem, refuted) == {"negation"}
    assert kinds(said("Condition", "problem", code=code("300916003", "Latex allergy")), refuted) == set()


def test_words_contradict_as_codes_do() -> None:
    value = said("Observation", "o", status="final", code={"text": "Allergies"}, valueString="Trimethoprim - rash")
    denied = said("Condition", "c", HOSPITAL, code={"text": "Not allergic to trimethoprim"})

    assert kinds(value, denied) == {"negation"}


@pytest.mark.parametrize(
    "concept",
    [
        code("91934008", "Allergy to nut"),
        code("300916003", "Latex allergy"),
        code("424213003", "Allergy to bee venom"),
        {"text": "Allergic to sticking plasters"},
        {"text": "Shellfish"},
    ],
)
def test_no_known_drug_allergy_does_not_contradict_what_is_no_drug(concept: Any) -> None:
    assert kinds(allergy("a", concept), NO_DRUG_ALLERGY) == set()
    assert kinds(said("Condition", "a", code=concept), NO_DRUG_ALLERGY) == set()


@pytest.mark.parametrize(
    "concept", [PENICILLIN, {"text": "Adverse reaction to codeine"}, {"text": "Allergy to a thing"}]
)
def test_no_known_drug_allergy_contradicts_a_drug_and_what_may_be_one(concept: Any) -> None:
    assert kinds(allergy("a", concept), NO_DRUG_ALLERGY) == {"none-known"}
    assert kinds(said("Condition", "a", code=concept), NO_DRUG_ALLERGY) == {"none-known"}


def test_a_denial_in_words_counts() -> None:
    assert kinds(allergy("a", PENICILLIN), said("Condition", "c", HOSPITAL, code={"text": "NKDA"})) == {"none-known"}
    assert kinds(allergy("a", PENICILLIN), allergy("b", {"text": "No known allergies"}, HOSPITAL)) == {"none-known"}


def test_a_resolved_condition_contradicts_an_active_allergy() -> None:
    gone = said("Condition", "c", HOSPITAL, code=PENICILLIN, clinicalStatus=term("condition-clinical", "resolved"))

    assert kinds(allergy("a", PENICILLIN), gone) == {"status"}
