"""A statement that is qualified by its words or its code is joined with nothing that is not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, SNOMED, code, said, term

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.qualifiers import MIXED, qualification, qualifier_of, topics_of
from onestory.record.merge.rules import merge_rules

Json = dict[str, Any]


def worded(words: str, value: str = "254837009", display: str = "Malignant neoplasm of breast") -> Json:
    """A code whose text is in the words of the source."""
    return {"coding": [{"system": SNOMED, "code": value, "display": display}], "text": words}


def facts(*statements: Statement) -> list[list[str]]:
    return [[member.shared_id for member in fact.members] for fact in merge(statements, merge_rules()).facts]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("FH: Breast cancer (mother, age 52)", "family-history"),
        ("F/H breast cancer", "family-history"),
        ("[V]Family history of asthma", "family-history"),
        ("Breast cancer - family history", "family-history"),
        ("Breast cancer in mother", "family-history"),
        ("No FH of breast cancer", "family-history"),
        ("?PE", "suspected"),
        ("PE?", "suspected"),
        ("Query DVT", "suspected"),
        ("Suspected lung cancer", "suspected"),
        ("R/O PE", "suspected"),
        ("PE cannot be excluded", "suspected"),
        ("Suspected lung cancer - excluded", "ruled-out"),
        ("Lung cancer excluded on CT 2019", "ruled-out"),
        ("DVT ruled out", "ruled-out"),
        ("No evidence of breast cancer", "ruled-out"),
        ("Not pregnant", "ruled-out"),
        ("Asthma resolved", "resolved"),
        ("Asthma (resolved 2021)", "resolved"),
        ("History of MI", "history"),
        ("H/O: breast cancer", "history"),
        ("Statin declined", "refused"),
        ("Depression in remission", "remission"),
        ("At risk of falls", "risk"),
    ],
)
def test_words_qualify_a_condition(words: str, kind: str) -> None:
    assert qualifier_of("Condition", {"code": {"text": words}}) == kind


@pytest.mark.parametrize(
    "words",
    [
        "Breast cancer",
        "Family planning",
        "Query fever",
        "Crohn?s disease",
        "Pyrexia ?cause",
        "Unresolved grief",
        "Asthma not resolved",
        "Breast cancer - no evidence of recurrence",
        "Not for resuscitation",
        "Diabetes mellitus, not otherwise specified",
        "Diabetes without complication",
        "Familial hypercholesterolaemia (FH)",
        "FH",
        "HEART FAILURE (PMH)",
        "",
    ],
)
def test_words_that_look_like_a_qualifier_qualify_nothing(words: str) -> None:
    assert qualifier_of("Condition", {"code": {"text": words}}) == ""


@pytest.mark.parametrize(
    "words", ["Pneumonia ?aspiration", "Breast cancer, metastases excluded", "Chest pain, MI ruled out"]
)
def test_a_text_that_qualifies_another_thing_equals_only_itself(words: str) -> None:
    assert qualifier_of("Condition", {"code": {"text": words}}) == f"{MIXED} {words.casefold()}"


@pytest.mark.parametrize(
    ("status", "kind"),
    [("provisional", "suspected"), ("differential", "suspected"), ("refuted", "ruled-out"), ("confirmed", "")],
)
def test_a_verification_status_qualifies_a_condition(status: str, kind: str) -> None:
    content = {"code": {"text": "Gout"}, "verificationStatus": term("condition-ver-status", status)}

    assert qualifier_of("Condition", content) == kind


def test_a_code_without_words_qualifies() -> None:
    content = {"code": {"coding": [{"system": SNOMED, "code": "429740004"}]}}

    assert qualifier_of("Condition", content) == "family-history"


def test_the_topic_is_what_is_qualified() -> None:
    resolved = topics_of({"code": code("162660004", "Asthma resolved")})

    assert resolved == {"195967001", "asthma"}
    assert qualification("Suspected lung cancer").rest == "lung cancer"


@pytest.mark.parametrize("words", ["FH: breast cancer", "Breast cancer excluded", "Breast cancer, ?bone metastases"])
def test_a_qualified_condition_joins_no_plain_one(words: str) -> None:
    own = said("Condition", "a", code=worded("Breast cancer"), onsetDateTime="2026-09-20")
    other = said("Condition", "b", HOSPITAL, code=worded(words), onsetDateTime="2026-09-20")

    assert len(facts(own, other)) == 2


def test_an_identifier_joins_no_qualified_statement_with_a_plain_one() -> None:
    identifier = [{"system": "urn:ietf:rfc:4122", "value": "5b1e"}]
    own = said("Condition", "a", code=worded("Breast cancer"), identifier=identifier)
    family = said("Condition", "b", HOSPITAL, code=worded("FH: Breast cancer"), identifier=identifier)

    assert len(facts(own, family)) == 2


def test_two_statements_with_one_qualifier_are_joined() -> None:
    one = said("Condition", "a", code=worded("FH: Breast cancer"))
    other = said("Condition", "b", HOSPITAL, code=worded("Family history of breast cancer"))

    assert len(facts(one, other)) == 1


@pytest.mark.parametrize(
    ("kind", "element", "plain", "qualified"),
    [
        ("Immunization", "vaccineCode", "Influenza vaccination", "Influenza vaccination declined"),
        ("AllergyIntolerance", "code", "Penicillin allergy", "?penicillin allergy"),
        ("Observation", "code", "Breast cancer", "FH: breast cancer"),
    ],
)
def test_other_types_are_kept_apart_too(kind: str, element: str, plain: str, qualified: str) -> None:
    stated: Json = {"status": "completed", "occurrenceDateTime": "2026-10-01", "effectiveDateTime": "2026-10-01"}
    one = said(kind, "a", GP, **{**stated, element: worded(plain)})
    same = said(kind, "c", "RZ1", **{**stated, element: worded(plain)})
    other = said(kind, "b", HOSPITAL, **{**stated, element: worded(qualified)})

    assert len(facts(one, other)) == 2
    assert len(facts(one, same)) == (2 if kind == "Observation" else 1)


def test_a_condition_that_words_rule_out_contradicts_an_active_one() -> None:
    active = said("Condition", "a", code=worded("Breast cancer"), clinicalStatus=term("condition-clinical", "active"))
    excluded = said("Condition", "b", HOSPITAL, code=worded("Breast cancer excluded"))

    kinds = [conflict.kind for fact in merge([active, excluded], merge_rules()).facts for conflict in fact.conflicts]
    assert kinds == ["negation", "negation"]
