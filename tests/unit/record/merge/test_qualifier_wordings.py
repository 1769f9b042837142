"""Relatives, denials, suspicions and past illness in the words that systems send."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, said

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.qualifiers import qualifier_of
from onestory.record.merge.rules import merge_rules

COMMUNITY = "RV9"


def kind_of(words: str, resource_type: str = "Condition") -> str:
    return qualifier_of(resource_type, {"code": {"text": words}})


def condition(name: str, words: str, organisation: str = GP, **elements: Any) -> Statement:
    return said("Condition", name, organisation, code={"text": words}, **elements)


def joined(*statements: Statement) -> list[int]:
    """How many statements each fact has."""
    return sorted(len(fact.members) for fact in merge(statements, merge_rules()).facts)


@pytest.mark.parametrize(
    "words",
    [
        "Twin brother schizophrenia",
        "Dad bowel ca",
        "Both parents diabetic",
        "Brothers x2 haemophilia",
        "Mum - T2DM",
        "Mother and sister BRCA1",
        "1st degree relative with AAA",
        "Paternal hx of IHD",
        "Mother's side: ovarian cancer",
        "Wife has dementia",
        "Mother - dementia, pt is carer",
        "Positive FH IHD",
        "+ve FH colon ca",
        "Family: polycystic kidneys",
        "Husband: COVID positive",
        "Adopted - family history unknown",
        "No significant family history",
    ],
)
def test_an_illness_of_a_relative_is_none_of_the_person(words: str) -> None:
    assert kind_of(words) == "family-history"


@pytest.mark.parametrize(
    "words",
    [
        "Lives with daughter",
        "Conflict with mother",
        "Daughter is next of kin",
        "Mother-child relationship problem",
        "Son born by caesarean section",
        "Sister Mary Joseph nodule",
        "Sibling rivalry disorder",
        "Partner is violent",
        "Twin pregnancy",
        "Maternal haemorrhage",
        "Bereavement - husband died",
        "Mum reports rash",
    ],
)
def test_a_relative_in_what_happens_to_the_person_is_no_family_history(words: str) -> None:
    assert kind_of(words) == ""


def test_a_relative_alone_at_the_beginning_of_an_observation_is_no_illness() -> None:
    assert kind_of("Wife helpful", "Observation") == ""
    assert kind_of("Mother: asthma", "Observation") == "family-history"
    assert kind_of("Maternal history of diabetes", "Observation") == "family-history"


@pytest.mark.parametrize(
    "words",
    [
        "Diabetes \u2013 not known",
        "Epilepsy absent",
        "Heart disease: absent",
        "Non-diabetic",
        "Never asthmatic",
        "Diabetes status: not diabetic",
        "Doesn\u2019t have asthma",
        "has never had epilepsy",
        "Never diagnosed with asthma",
        "Free of cancer",
        "Without diabetes",
        "Cancer - none found",
        "Dementia not diagnosed",
        "Lung cancer excluded by CT biopsy",
        "Screen negative for depression",
        "Malignant hyperthermia - biopsy negative",
        "No spleen injury",
        "No kidney disease",
        "No speech problems",
    ],
)
def test_a_denial_in_other_words_rules_out(words: str) -> None:
    assert kind_of(words) == "ruled-out"


@pytest.mark.parametrize(
    "words",
    [
        "No spleen",
        "No vision left eye",
        "No left kidney",
        "No speech",
        "Absence of left foot",
        "Absence seizures",
        "Absent foot pulses",
        "Foot pulses absent",
        "Not weight bearing",
        "Not known to services",
        "Non-diabetic hyperglycaemia",
        "Non-epileptic attack disorder",
        "Hypoglycaemia, not diabetic",
        "Diabetes without complication",
        "Previously diagnosed COPD",
    ],
)
def test_what_a_person_lacks_is_a_finding_and_no_denial(words: str) -> None:
    assert kind_of(words) == ""


@pytest.mark.parametrize(
    "words",
    [
        "Working dx: PMR",
        "Cannot r/o PE",
        "Symptoms suggestive of coeliac disease",
        "In keeping with gout",
        "Referred ?dementia",
        "Clinically ?sepsis",
        "Diagnosis uncertain - MS",
        "High suspicion of GCA",
        "Fast track suspected cancer referral",
        "Dementia - awaiting memory clinic",
    ],
)
def test_a_suspicion_in_other_words_is_a_suspicion(words: str) -> None:
    assert kind_of(words) == "suspected"


@pytest.mark.parametrize(
    "words",
    [
        "Hx DVT",
        "Prior stroke",
        "Known previous MI",
        "Historic: gout",
        "Former alcoholic",
        "Depression (past)",
        "Had TB 1960s",
    ],
)
def test_past_illness_in_other_words_is_past(words: str) -> None:
    assert kind_of(words) == "history"


def test_the_same_words_without_a_code_are_one_line_since_the_earliest_onset() -> None:
    statements = [
        condition("a", "COPD", onsetDateTime="2012-01-01"),
        condition("b", "copd", HOSPITAL, onsetDateTime="2026-01-11"),
        condition("c", "COPD.", COMMUNITY, onsetDateTime="2019-02-01"),
    ]

    (fact,) = merge(statements, merge_rules()).facts

    assert len(fact.members) == 3
    assert fact.onset == "2012-01-01"
    assert {join.rule for join in fact.joins} == {"same-condition-words"}


def test_words_join_an_uncoded_statement_to_a_coded_one_but_never_two_codes() -> None:
    def coded(name: str, value: str, organisation: str) -> Statement:
        concept = {"coding": [{"system": "http://snomed.info/sct", "code": value}], "text": "Hypothyroidism"}
        return said("Condition", name, organisation, code=concept)

    assert joined(condition("a", "Hypothyroidism"), coded("b", "40930008", HOSPITAL)) == [2]
    assert joined(
        coded("a", "40930008", GP), condition("b", "Hypothyroidism", HOSPITAL), coded("c", "190268003", COMMUNITY)
    ) == [1, 2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"words": "COPD"}, {"words": "?COPD"}),
        ({"words": "COPD"}, {"words": "No COPD"}),
        ({"words": "Stroke"}, {"words": "FH stroke"}),
        (
            {"words": "Cataract", "bodySite": [{"text": "Left eye"}]},
            {"words": "Cataract", "bodySite": [{"text": "Right eye"}]},
        ),
        ({"words": "Pneumonia", "onsetDateTime": "2019-02-01"}, {"words": "Pneumonia", "onsetDateTime": "2026-11-11"}),
        ({"words": "CKD stage 3"}, {"words": "CKD stage 4"}),
    ],
)
def test_words_that_differ_in_what_counts_join_nothing(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = {**one}, {**other}
    statements = [
        condition("a", str(first.pop("words")), **first),
        condition("b", str(second.pop("words")), HOSPITAL, **second),
    ]

    assert joined(*statements) == [1, 1]
