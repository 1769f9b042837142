"""Smoking, mobility, carers and pregnancy in the words of sources: one state leads, and it stands in one place."""

from __future__ import annotations

from typing import Any

from tests.unit.record.summary.written import GP, HOSPITAL, code, said, told

from onestory.record.merge.model import Statement

FACTS = "Social history and other facts"


def observed(name: str, words: str, when: str, organisation: str = HOSPITAL, **value: Any) -> Statement:
    return said(
        "Observation", name, organisation, status="final", code={"text": words}, effectiveDateTime=when, **value
    )


def problem(name: str, words: str, **elements: Any) -> Statement:
    return said("Condition", name, GP, code={"text": words}, **elements)


def test_a_fact_of_a_topic_is_no_problem_too() -> None:
    shown = told(problem("a", "Housebound"), problem("b", "Has carer"), problem("c", "Ex-smoker"))

    assert shown["Problems"].startswith("No current problems")
    assert shown[FACTS].count("Housebound") == 1


def test_a_question_in_words_is_answered_in_words_and_they_are_kept() -> None:
    shown = told(
        problem("a", "Ex-smoker", onsetDateTime="2020-01-01"),
        observed("b", "Smoking status", "2026-11-01", valueString="Current smoker - 20/day"),
    )

    assert "Smoker\n1 Nov 2026" in shown[FACTS]
    assert "Current smoker - 20/day" in shown[FACTS]
    assert "Before: Ex-smoker (1 Jan 2020)" in shown[FACTS]


def test_a_state_that_is_answered_with_no_does_not_hold() -> None:
    shown = told(observed("a", "Housebound", "2026-11-01", valueString="No"))

    assert "Now" not in shown[FACTS]


def test_a_name_that_goes_on_is_the_state() -> None:
    shown = told(observed("a", "Pregnant 24/40", "2026-11-10"), problem("b", "Pregnant?", onsetDateTime="2026-11-20"))

    assert "Pregnant\n10 Nov 2026" in shown["Pregnancy"]
    assert "Pregnant 24/40" in shown["Pregnancy"]


def test_a_delivery_ends_the_pregnancy_before_it() -> None:
    shown = told(
        said("Condition", "a", GP, code=code("77386006", "Pregnant"), onsetDateTime="2026-02-05"),
        said(
            "Procedure",
            "p",
            HOSPITAL,
            status="completed",
            code={"text": "Emergency caesarean section"},
            performedDateTime="2026-10-20",
        ),
    )

    assert "Pregnancy has ended\n20 Oct 2026" in shown["Pregnancy"]
    assert "Emergency caesarean section" in shown["Pregnancy"]
    assert "still lists “Pregnant” (5 Feb 2026) as active" in shown["Pregnancy"]
    assert "Pregnant" not in shown["Problems"]


def test_a_delivery_of_years_ago_is_no_news_of_a_pregnancy() -> None:
    caesarean = said(
        "Procedure",
        "p",
        HOSPITAL,
        status="completed",
        code={"text": "Caesarean section"},
        performedDateTime="1985-03-01",
    )

    assert "Pregnancy" not in told(caesarean)


def test_a_state_without_a_date_does_not_lead_and_is_told() -> None:
    shown = told(
        problem("a", "Ex-smoker"),
        observed("b", "Smoking status", "2026-11-01", valueString="Current smoker"),
    )

    assert "Smoker\n1 Nov 2026" in shown[FACTS]
    assert "Stated without a date, so it may be newer: “Ex-smoker” (Harbour Street Surgery)" in shown[FACTS]


def test_a_name_that_goes_on_with_in_is_the_state_of_now() -> None:
    shown = told(
        said("Observation", "a", status="final", code=code("77176002", "Smoker"), effectiveDateTime="2025-01-01"),
        observed("b", "Smoking status", "2026-08-01", valueString="Stopped smoking in pregnancy"),
        observed("c", "Pregnant in 2019", "2026-08-01"),
    )

    assert "Ex-smoker\n1 Aug 2026" in shown[FACTS]
    assert "Pregnancy" not in shown
