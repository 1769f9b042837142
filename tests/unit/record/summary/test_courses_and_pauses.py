"""A course in words ends, a pause at another line sets a medicine apart, and directions can say "STOPPED"."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, said, told

from onestory.record.medicines.own_stops import own_stop


def ordered(local_id: str, organisation: str, name: str, words: str = "", on: str = "2026-11-01", **more: Any) -> Any:
    stated = {"status": "active", "intent": "order", "authoredOn": on, **more}
    if words:
        stated["dosageInstruction"] = [{"text": words}]
    return said("MedicationRequest", local_id, organisation, medicationCodeableConcept={"text": name}, **stated)


def headings(*statements: Any) -> str:
    return told(*statements)["Medicines"]


@pytest.mark.parametrize(
    "words",
    [
        "500 mg QDS 5/7",
        "200mg stat then 100mg OD 5/7",
        "40 mg OD for 5 days then stop",
        "One five times a day, 7 day course",
        "One a day for 2/52",
    ],
)
def test_a_course_that_is_written_in_short_has_ended(words: str) -> None:
    assert headings(ordered("a", GP, "Doxycycline 100mg capsules", words)).startswith("Stopped or ended")


@pytest.mark.parametrize(
    "words", ["10 mg 1/52", "Two a day for 3 days then one a day", "One a day", "Since 5/7/26 one a day", "1/7"]
)
def test_what_goes_on_has_not_ended(words: str) -> None:
    assert headings(ordered("a", GP, "Methotrexate 2.5mg tablets", words)).startswith("Regular")


def paused(days_after: int) -> Any:
    recorded = NOW + timedelta(days=days_after)
    concept = {"text": "Apixaban"}
    return said(
        "MedicationStatement", "p", HOSPITAL, recorded=recorded, status="on-hold", medicationCodeableConcept=concept
    )


def test_a_newer_pause_in_other_words_sets_the_product_apart() -> None:
    listed = said(
        "MedicationRequest",
        "g",
        GP,
        recorded=NOW - timedelta(days=9),
        status="active",
        intent="order",
        authoredOn="2026-10-01",
        medicationCodeableConcept={"text": "Eliquis 5mg tablets"},
    )
    shown = told(listed, paused(-1))
    assert "PAUSED" in shown["Please note"]
    assert "Regular" not in shown["Medicines"]
    assert "Regular" in told(listed, paused(-20))["Medicines"]


def test_directions_that_say_stopped_stand_at_the_other_line_too() -> None:
    listed = ordered("a", GP, "Clopidogrel 75mg tablets", "One daily", "2026-04-01")
    stop = ordered("b", HOSPITAL, "Clopidogrel 75mg tablets", "STOPPED - GI bleed")
    assert "“STOPPED - GI bleed”" in told(listed, stop)["Please note"]


@pytest.mark.parametrize(
    ("words", "stops"),
    [
        ("STOP", True),
        ("Withheld: AKI", True),
        ("Stop 3 days before surgery", False),
        ("Stop if diarrhoea", False),
        ("One daily. Do not stop", False),
    ],
)
def test_directions_stop_their_own_medicine_only_without_a_condition(words: str, *, stops: bool) -> None:
    statement = {"resourceType": "MedicationStatement", "status": "active", "dosage": [{"text": words}]}
    assert (own_stop(statement) is not None) is stops


def test_days_before_an_operation_are_no_dose() -> None:
    listed = ordered("a", GP, "Dapagliflozin 10mg tablets", "One daily", "2026-04-01")
    surgery = ordered("b", HOSPITAL, "Dapagliflozin 10mg tablets", "Stop 3 days before surgery")
    assert "Please note" not in told(listed, surgery)


def test_every_twelve_weeks_and_every_three_months_are_one_interval() -> None:
    name = "Hydroxocobalamin 1mg/1ml solution for injection ampoules"
    two = ordered("a", GP, name, "Inject 1mg every 3 months"), ordered("b", HOSPITAL, name, "1 mg IM every 12 weeks")
    assert "Please note" not in told(*two)
    daily = ordered("a", GP, name, "10 mg once a day"), ordered("b", HOSPITAL, name, "10.5 mg once a day")
    assert "DOSES DIFFER" in told(*daily)["Please note"]


def test_two_insulins_of_one_kind_at_two_sources_stand_at_the_top() -> None:
    one = ordered("a", GP, "Humalog KwikPen 100units/ml solution for injection 3ml pre-filled pens", "10 units TDS")
    other = ordered(
        "b", HOSPITAL, "NovoRapid FlexPen 100units/ml solution for injection 3ml pre-filled pens", "10 units"
    )
    assert "Two insulins for meals are current." in told(one, other)["Please note"]
