"""A summary shows each form in which FHIR states a clinical date, and sorts and limits lines by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.record.summary.written import NOW, said, told

from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text, date_text
from onestory.record.summary.doses import doses


def result(local_id: str, **elements: Any) -> Any:
    return said("Observation", local_id, status="final", code={"text": local_id}, valueString="normal", **elements)


@pytest.mark.parametrize(
    ("elements", "shown"),
    [
        ({"occurrenceString": "in childhood, about 1984"}, "in childhood, about 1984"),
        ({"occurrenceString": "in childhood", "recorded": "2026-11-01"}, "in childhood"),
        ({"occurrenceDateTime": "1984"}, "1984"),
        ({"recorded": "2026-11-01"}, "1 Nov 2026"),
    ],
)
def test_a_vaccination_shows_when_it_was_given_in_words_or_as_a_date(elements: dict[str, Any], shown: str) -> None:
    given = said("Immunization", "i", status="completed", vaccineCode={"text": "MMR"})
    given = replace(given, content={**given.content, **elements})

    assert clinical_date_text(given) == shown
    assert shown in told(given)["Immunisations"]


@pytest.mark.parametrize(
    ("elements", "shown"),
    [
        ({"performedString": "aged about 9"}, "aged about 9"),
        ({"performedAge": {"value": 9, "unit": "years", "code": "a"}}, "at age 9 years"),
        ({"performedAge": {"value": 9, "code": "a"}}, "at age 9 years"),
        ({"performedAge": {"value": 1, "unit": "a", "code": "a"}}, "at age 1 year"),
        ({"performedAge": {"comparator": "<", "value": 3, "code": "mo"}}, "at age < 3 months"),
        (
            {"performedRange": {"low": {"value": 9, "code": "a"}, "high": {"value": 11, "code": "a"}}},
            "at age 9 years to 11 years",
        ),
        ({"performedRange": {"low": {"value": 9, "unit": "years"}}}, "at age 9 years or more"),
        ({"performedRange": {"high": {"value": 9, "unit": "years"}}}, "at age 9 years or less"),
        ({"performedPeriod": {"start": "1999-05"}}, "May 1999"),
        ({"performedPeriod": {"end": "1999-05"}}, "May 1999"),
    ],
)
def test_a_procedure_shows_when_it_was_done(elements: dict[str, Any], shown: str) -> None:
    done = said("Procedure", "p", status="completed", code={"text": "Appendicectomy"}, **elements)

    assert clinical_date_text(done) == shown
    assert shown in told(done)["Procedures"]


@pytest.mark.parametrize(
    ("timing", "date"),
    [
        ({"event": ["2010-01-01", "2012-03", "2011"]}, "Mar 2012"),
        ({"event": ["2010-01-01"], "repeat": {"boundsPeriod": {"end": "2026-11"}}}, "1 Jan 2010"),
        ({"repeat": {"boundsPeriod": {"start": "2010", "end": "2011"}}}, "2011"),
        ({"repeat": {"boundsPeriod": {"start": "2010"}}}, "2010"),
    ],
)
def test_the_newest_event_of_a_timing_is_the_date_of_a_result(timing: dict[str, Any], date: str) -> None:
    old = result("Glucose", effectiveTiming=timing)
    new = result("Sodium", effectiveTiming={"event": ["2026-11-20", "2020-01-01"]}, issued="2026-11-21T10:00:00Z")

    shown = told(old, new)["Results"]

    assert clinical_date_text(old) == date
    assert f"Older: Glucose normal ({date})." in shown
    assert "More is held" not in shown
    assert "20 Nov 2026" in shown


def test_results_are_sorted_by_the_newest_event_before_the_time_of_issue() -> None:
    earlier = result("Earlier", effectiveTiming={"event": ["2026-11-01"]}, issued="2026-11-22T08:00:00Z")
    later = result("Later", effectiveInstant="2026-11-10T08:00:00Z", issued="2026-11-11T08:00:00Z")

    shown = told(earlier, later)["Results"]

    assert shown.index("Later") < shown.index("Earlier")


def test_a_timing_without_a_date_is_shown_in_words_and_counts_as_recorded() -> None:
    used = said(
        "DeviceUseStatement",
        "d",
        status="active",
        device={"display": "Insulin pump"},
        timingTiming={"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
    )

    assert clinical_date_text(used) == "twice a day"
    assert clinical_date(used).begin == NOW
    assert "twice a day" in told(used)["Devices"]


def test_a_device_whose_timing_is_over_is_not_in_use() -> None:
    over = {"repeat": {"boundsPeriod": {"end": "2026-01"}}}
    used = said("DeviceUseStatement", "d", status="active", device={"display": "Pump"}, timingTiming=over)

    assert told(used)["Devices"] == "No longer in use: Pump (Jan 2026)."
    assert "Pump" in told(used, at=datetime(2025, 12, 1, tzinfo=UTC))["Devices"]


@pytest.mark.parametrize(
    ("elements", "since", "ended"),
    [
        ({"onsetString": "as a child", "abatementString": "in her teens"}, "as a child", "in her teens"),
        (
            {"onsetAge": {"value": 40, "code": "a"}, "abatementAge": {"value": 42, "unit": "yr"}},
            "at age 40 years",
            "at age 42 yr",
        ),
        ({"onsetRange": {"low": {"value": 30, "unit": "years"}}}, "at age 30 years or more", ""),
        ({"onsetPeriod": {"end": "2001"}, "abatementPeriod": {"start": "2002"}}, "until 2001", "from 2002"),
    ],
)
def test_a_problem_shows_onset_and_abatement_in_every_form(elements: dict[str, Any], since: str, ended: str) -> None:
    problem = said("Condition", "c", code={"text": "Asthma"}, **elements)

    assert f"Since {since}" in (texts := " ".join(told(problem).values()))
    assert f"Ended {ended}" in texts or not ended


def test_the_dates_on_which_a_medicine_is_taken_are_part_of_the_dose() -> None:
    dosage = {"text": "as planned", "timing": {"event": ["2026-12-08", "2026-12-01"]}}

    (dose,) = doses({"dosageInstruction": [dosage]})

    assert dose == "as planned (on 1 Dec 2026, on 8 Dec 2026)"


def test_an_acute_medicine_is_shown_until_a_year_after_its_last_planned_dose() -> None:
    acute = {"coding": [{"code": "acute"}]}
    planned = said(
        "MedicationRequest",
        "m",
        status="active",
        intent="order",
        authoredOn="2025-06-01",
        medicationCodeableConcept={"text": "Methotrexate"},
        courseOfTherapyType=acute,
        dosageInstruction=[{"timing": {"event": ["2026-01-05"]}}],
    )

    assert "Methotrexate" in told(planned)["Medicines"]


def test_text_that_is_no_date_is_shown_and_does_not_count() -> None:
    odd = result("Odd", effectiveTiming={"event": ["soon", "2026-11-20"]})

    assert clinical_date_text(odd) == "20 Nov 2026"
    assert date_text({"onsetTiming": {"event": ["soon"]}}, "onset") == "soon"
