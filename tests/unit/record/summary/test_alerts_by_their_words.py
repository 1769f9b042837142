"""Alerts that sources name in words: what stands on top, and what only denies it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.written import said, told

from onestory.record.merge.model import Statement


def observed(name: str, **elements: Any) -> Statement:
    return said("Observation", "o", status="final", code={"text": name}, effectiveDateTime="2024-03-01", **elements)


@pytest.mark.parametrize(
    "name",
    [
        "Requires information in large print",
        "Requires contact by text message",
        "Interpreter required: Polish",
        "Uses deafblind manual alphabet",
        "Has a hospital passport",
        "Registered blind",
        "Two workers required at all visits",
        "Hoarding: access difficult",
        "Severe hearing loss, uses BSL",
        "Lacks mental capacity to consent to care",
        "Deprivation of Liberty Safeguards authorisation granted",
        "At increased risk of CJD for public health purposes",
        "NHS steroid emergency card issued",
        "Difficult tracheal intubation",
        "Violent patient - no lone visits",
        "Victim of domestic abuse, do not leave messages",
        "Child protection case not closed",
        "Not for phone contact - child protection plan",
    ],
)
def test_an_alert_in_words_stands_among_the_alerts(name: str) -> None:
    sections = told(observed(name))

    assert name in sections["Alerts"]
    assert "Social history and other facts" not in sections


def test_a_target_with_a_number_is_an_alert_that_does_not_grow_old() -> None:
    low, high = ({"value": value, "unit": "%"} for value in (88, 92))
    sections = told(observed("Target oxygen saturation", valueRange={"low": low, "high": high}))

    assert "88 % to 92 %" in sections["Alerts"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("No safeguarding concerns identified", {}),
        ("Not known to be a violent patient", {}),
        ("Risk of violence: none", {}),
        ("Domestic abuse not disclosed", {}),
        ("Child protection plan discontinued", {}),
        ("Safeguarding - no concerns", {}),
        ("Screened for domestic abuse", {}),
        ("Family history of domestic violence", {}),
        ("No longer requires interpreter", {}),
        ("Domestic abuse", {"valueString": "No"}),
        ("Domestic abuse", {"valueCodeableConcept": {"text": "None identified."}}),
        ("Domestic abuse screening", {"valueString": "Negative, no disclosure"}),
    ],
)
def test_what_denies_an_alert_is_no_alert(name: str, value: dict[str, Any]) -> None:
    assert "Alerts" not in told(observed(name, **value))


@pytest.mark.parametrize("value", ["Not safe to go home", "No injuries, but afraid", "Yes"])
def test_a_value_that_does_not_deny_keeps_the_alert(value: str) -> None:
    assert value in told(observed("Domestic abuse", valueString=value))["Alerts"]
