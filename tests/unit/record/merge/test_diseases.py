"""Lasting diseases are one line, opposites contradict each other, and a suspicion meets its answer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clinical_cases import case, needs_clinical_cases
from tests.contract.test_merge_schemas import checked_digit
from tests.unit.record.summary.written import GP, HOSPITAL, code, said, term

from onestory.record.merge.diseases import disease_rules
from onestory.record.merge.engine import merge
from onestory.record.merge.model import MergedRecord, Statement
from onestory.record.merge.qualifiers import qualifier_rules
from onestory.record.merge.rules import merge_rules

ACTIVE = term("condition-clinical", "active")
RESOLVED = term("condition-clinical", "resolved")
TYPE_1 = code("46635009", "Type 1 diabetes mellitus")
TYPE_2 = code("44054006", "Type 2 diabetes mellitus")


def condition(local_id: str, organisation: str, named: dict[str, Any], **elements: Any) -> Statement:
    return said("Condition", local_id, organisation, code=named, **{"clinicalStatus": ACTIVE, **elements})


def merged(*statements: Statement) -> MergedRecord:
    return merge(statements, merge_rules())


def kinds(record: MergedRecord) -> set[str]:
    return {conflict.kind for fact in record.facts for conflict in fact.conflicts}


def conditions_of(number: str) -> MergedRecord:
    record = case(number)[0].known().merged
    return MergedRecord(tuple(fact for fact in record.facts if fact.resource_type == "Condition"))


def test_the_codes_are_well_formed() -> None:
    diseases, qualified = disease_rules(), qualifier_rules()
    opposite = [code for each in diseases.opposites for codes, _ in each.sides for code in codes]
    about = [code for codes in qualified.about.values() for code in codes]

    assert [code for code in [*diseases.by_code, *opposite, *qualified.codes, *about] if not checked_digit(code)] == []


@needs_clinical_cases
@pytest.mark.parametrize(("number", "onsets"), [("45", {"2012-03-01"}), ("90", {"2015", "2019-03", "2062-03-01"})])
def test_a_lasting_disease_is_one_line_since_its_earliest_onset(number: str, onsets: set[str]) -> None:
    facts = conditions_of(number).facts

    assert {fact.onset for fact in facts} == onsets
    assert len(facts) == len(onsets)


@needs_clinical_cases
@pytest.mark.parametrize(
    ("number", "expected"),
    [("46", {"opposite"}), ("47", {"status"}), ("49", set()), ("101", {"status"}), ("43", set()), ("107", set())],
)
def test_the_conflicts_of_a_case(number: str, expected: set[str]) -> None:
    assert kinds(conditions_of(number)) == expected


@needs_clinical_cases
def test_a_side_is_no_letter_of_a_disc() -> None:
    assert len(conditions_of("54").facts) == 1


def test_an_illness_that_comes_back_stays_two_lines() -> None:
    gout = code("90560007", "Gout")
    record = merged(
        condition("a", GP, gout, onsetDateTime="2012-03-01"), condition("b", HOSPITAL, gout, onsetDateTime="2026-01-14")
    )

    assert len(record.facts) == 2


def test_opposites_contradict_in_one_source_and_by_their_words() -> None:
    by_words = {**code("73211009", "Diabetes mellitus"), "text": "Type I diabetes, on basal bolus"}

    assert kinds(merged(condition("a", GP, TYPE_1), condition("b", GP, TYPE_2))) == {"opposite"}
    assert kinds(merged(condition("a", GP, by_words), condition("b", HOSPITAL, TYPE_2))) == {"opposite"}


def test_a_suspected_an_ended_or_a_general_type_is_no_opposite() -> None:
    query = {**TYPE_1, "text": "?type 1 diabetes"}
    ended = condition("a", GP, TYPE_1, clinicalStatus=RESOLVED)

    assert kinds(merged(condition("a", GP, query), condition("b", HOSPITAL, TYPE_2))) == set()
    assert kinds(merged(ended, condition("b", HOSPITAL, TYPE_2))) == set()
    assert kinds(merged(condition("a", GP, code("73211009", "Diabetes")), condition("b", HOSPITAL, TYPE_2))) == set()


def test_pregnant_and_not_pregnant_contradict_only_near_each_other() -> None:
    pregnant = condition("a", GP, code("77386006", "Pregnant"), onsetDateTime="2026-07-06")
    near = condition("b", HOSPITAL, code("60001007", "Not pregnant"), onsetDateTime="2026-07-20")
    before = condition("b", HOSPITAL, code("60001007", "Not pregnant"), onsetDateTime="2019-07-20")
    after = condition("b", HOSPITAL, code("60001007", "Not pregnant"), onsetDateTime="2029-07-20")

    assert [kinds(merged(pregnant, other)) for other in (before, near, after)] == [set(), {"negation"}, set()]


def test_an_illness_that_began_after_the_old_one_resolved_is_no_conflict() -> None:
    resolved = condition("a", GP, code("162660004", "Asthma resolved"), onsetDateTime="2010-03-01")
    again = condition("b", HOSPITAL, code("195967001", "Asthma"), onsetDateTime="2020-03-01")
    before = condition("b", HOSPITAL, code("195967001", "Asthma"), onsetDateTime="1998-03-01")

    assert kinds(merged(resolved, again)) == set()
    assert kinds(merged(resolved, before)) == {"status"}


@pytest.mark.parametrize(
    ("suspected", "answer"),
    [
        ("Suspected lung cancer", "Primary malignant neoplasm of lung"),
        ("?PE", "Pulmonary embolism"),
        ("Query DVT", "Deep venous thrombosis"),
    ],
)
def test_a_suspicion_is_related_to_its_answer(suspected: str, answer: str) -> None:
    refuted = term("condition-ver-status", "refuted")
    record = merged(
        condition("a", GP, {"text": suspected}), condition("b", HOSPITAL, {"text": answer}, verificationStatus=refuted)
    )

    assert [fact.related for fact in record.facts] == [("b-rz3",), ("a-a81001",)]
    assert kinds(record) == set()


def test_family_history_contradicts_no_exclusion() -> None:
    family = condition("a", GP, {**code("254837009", "Malignant neoplasm of breast"), "text": "FH: breast cancer"})
    excluded = condition(
        "b", HOSPITAL, {**code("254837009", "Malignant neoplasm of breast"), "text": "Cancer excluded"}
    )

    assert kinds(merged(family, excluded)) == set()


def test_a_line_leads_with_the_statement_that_was_recorded_last_and_is_coded() -> None:
    identifier = [{"system": "urn:ietf:rfc:4122", "value": "5b1e"}]
    gout = code("90560007", "Gout")
    older = condition("a", GP, gout, identifier=identifier, recordedDate="2015-09-01")
    newer = condition("b", HOSPITAL, gout, identifier=identifier, recordedDate="2026-09-01")
    words = condition("c", "RZ1", {"text": "sore toe"}, identifier=identifier, recordedDate="2026-10-01")

    assert [[member.shared_id[0] for member in fact.members] for fact in merged(older, newer, words).facts] == [
        ["b", "a", "c"]
    ]
