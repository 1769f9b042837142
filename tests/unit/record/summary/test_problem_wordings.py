"""Wordings of problems that tell of a relative, a risk, something over or absent, or of an event, without a code."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.test_problems import ACTIVE, groups
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, code, entries, known, said, sections, term, told

from onestory.record.merge.model import Statement
from onestory.record.merge.qualifiers import qualifier_of
from onestory.record.summary.document import summarise


def condition(words: str, organisation: str = GP, **elements: Any) -> Statement:
    return said(
        "Condition",
        words.lower().replace(" ", "-"),
        organisation,
        **{"code": {"text": words}, "clinicalStatus": ACTIVE, **elements},
    )


def problems(*statements: Statement, title: str = "Problems") -> str:
    return told(*statements)[title]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Mother diagnosed with breast cancer", "family-history"),
        ("Breast cancer (sister)", "family-history"),
        ("Breast cancer (mother aged 52)", "family-history"),
        ("Father - MI aged 50", "family-history"),
        ("Paternal uncle: melanoma", "family-history"),
        ("Not known to have diabetes", "ruled-out"),
        ("Nil asthma", "ruled-out"),
        ("Stroke: No", "ruled-out"),
        ("No known epilepsy", "ruled-out"),
        ("HIV negative", "ruled-out"),
        ("Epilepsy - misdiagnosed", "ruled-out"),
        ("Unlikely PE", "suspected"),
        ("Dementia - unlikely", "suspected"),
        ("PE - not confirmed", "suspected"),
        ("Imp: ?appendicitis", "suspected"),
        ("2WW suspected bowel cancer", "suspected"),
        ("Hepatitis C - cleared", "resolved"),
        ("Asthma as a child", "history"),
    ],
)
def test_more_words_qualify_a_problem(words: str, kind: str) -> None:
    assert qualifier_of("Condition", {"code": {"text": words}}) == kind


@pytest.mark.parametrize(
    "words",
    [
        "Nil by mouth",
        "Rhesus negative",
        "Mother of child with asthma",
        "Unlikely to engage",
        "Carer of father",
        "Father absent",
        "Absent spleen",
    ],
)
def test_these_words_qualify_nothing(words: str) -> None:
    assert qualifier_of("Condition", {"code": {"text": words}}) == ""


def test_a_risk_or_screening_stands_apart_and_is_no_entry() -> None:
    written = {**code("86406008", "HIV infection"), "text": "Screening for HIV infection"}
    statements = [condition("Gout"), condition("HIV", code=written)]

    active, risks = groups(problems(*statements), "Active", "Risks, contacts, carriers and screening")
    assert "Gout" in active
    assert "Screening for HIV infection" in risks
    assert entries(sections(summarise(known(*statements), NOW))["11450-4"]) == ["gout-a81001"]


@pytest.mark.parametrize(("verification", "listed"), [("confirmed", []), ("unconfirmed", ["q-a81001"])])
def test_a_suspicion_in_words_is_an_entry_only_if_its_status_says_so(verification: str, listed: list[str]) -> None:
    written = {**code("52448006", "Dementia"), "text": "?Dementia"}
    status = term("condition-ver-status", verification)
    statement = condition("q", code=written, verificationStatus=status)

    assert entries(sections(summarise(known(statement), NOW))["11450-4"]) == listed
    assert "?Dementia" in problems(statement)


def test_what_is_in_remission_by_its_words_is_past_illness() -> None:
    assert "Leukaemia, in complete remission" in problems(
        condition("Leukaemia, in complete remission"), title="Past illness"
    )


@pytest.mark.parametrize("words", ["NSTEMI", "Acute CVA", "DVT left leg", "UTI", "Fractured neck of femur"])
def test_an_event_that_is_named_in_words_only_is_past(words: str) -> None:
    assert f"2 Feb 2014: {words}" in problems(condition(words, onsetDateTime="2014-02-02"))


def test_a_disease_after_an_event_is_no_event() -> None:
    assert "Past events" not in problems(condition("Hemiplegia following stroke", onsetDateTime="2014-02-02"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hypothyroidism", "Hyperthyroidism"),
        ("Type II diabetes mellitus", "Type 1 DM"),
        ("Rhesus positive", "Rhesus negative"),
        ("HIV positive", "HIV negative"),
    ],
)
def test_opposites_in_words_contradict_each_other(one: str, other: str) -> None:
    assert "Sources disagree" in problems(condition(one), condition(other, HOSPITAL))


def test_a_list_of_past_and_present_diseases_is_no_past_event() -> None:
    shown = told(
        said("Condition", "a", code={"text": "PMH: T2DM, HTN"}), said("Condition", "b", code={"text": "PMH: TB"})
    )

    assert shown["Problems"].index("Active") < shown["Problems"].index("PMH: T2DM, HTN")
    assert "Date not stated: PMH: TB" in shown["Problems"]
    assert "Date not stated: PMH: T2DM" not in shown["Problems"]


def test_a_history_in_an_observation_does_not_expire_as_a_result() -> None:
    history = said(
        "Observation",
        "o",
        status="final",
        code={"text": "Past medical history"},
        valueString="COPD",
        effectiveDateTime="2020-01-01",
    )

    assert "COPD" in told(history)["Social history and other facts"]


def test_an_entry_without_a_diagnosis_is_a_remark() -> None:
    shown = told(
        *[said("Condition", str(place), code={"text": words}) for place, words in enumerate(["None", "See notes"])]
    )

    assert "Stated without a diagnosis: “None”" in shown["Problems"]
    assert "Active" not in shown["Problems"]


@pytest.mark.parametrize(
    "words", ["Outgrown asthma", "Grown out of eczema", "Hodgkin lymphoma - complete remission 2015"]
)
def test_what_has_gone_is_past_illness(words: str) -> None:
    assert words in told(said("Condition", "a", code={"text": words}))["Past illness"]


def test_a_question_that_is_answered_with_no_is_no_alert() -> None:
    asked = said("Observation", "o", status="final", code={"text": "Domestic abuse"}, valueString="No")

    assert "Alerts" not in told(asked)


@pytest.mark.parametrize(("name", "value"), [("Father", "MI aged 50"), ("Family history", "Nil relevant")])
def test_an_answer_for_a_relative_is_family_history(name: str, value: str) -> None:
    shown = told(said("Observation", "o", status="final", code={"text": name}, valueString=value))

    assert value in shown["Family history"]
    assert "Results" not in shown


def test_an_older_stage_in_words_is_told_as_older() -> None:
    shown = told(
        said("Condition", "a", code={"text": "CKD stage 3a"}, onsetDateTime="2018-01-01"),
        said("Condition", "b", HOSPITAL, code={"text": "CKD 4"}, onsetDateTime="2026-05-01"),
    )

    assert "Older stage: now “CKD 4”" in shown["Problems"]


def test_a_refuted_problem_with_the_same_words_has_one_conflict() -> None:
    refuted = said(
        "Condition", "b", HOSPITAL, code={"text": "Gout"}, verificationStatus=term("condition-ver-status", "refuted")
    )
    shown = told(said("Condition", "a", code={"text": "Gout"}), refuted)["Problems"]

    assert shown.count("Sources disagree") == 2
