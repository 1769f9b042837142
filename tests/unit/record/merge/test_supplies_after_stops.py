"""A medicine that is handed over after another source stopped it is a conflict, if no source goes on with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.rules import merge_rules

AT = datetime(2026, 11, 21, 9, tzinfo=UTC)


def entry(number: int, kind: str, source: str, name: str, **content: Any) -> Statement:
    order = {"intent": "order"} if kind == "MedicationRequest" else {}
    medicine = {"resourceType": kind, "medicationCodeableConcept": {"text": name}, **order, **content}
    return Statement(f"s{number}", kind, source, "main", UUID(int=number), AT, AT, medicine)


def stop(name: str = "RAMIPRIL") -> Statement:
    return entry(1, "MedicationRequest", "RZ3", name, status="stopped", authoredOn="2026-06-01")


def supply(source: str = "FA001", day: str = "2026-11-25", status: str = "completed") -> Statement:
    return entry(2, "MedicationDispense", source, "Ramipril 5mg capsules", status=status, whenHandedOver=day)


def conflicts(*statements: Statement) -> list[list[str]]:
    facts = merge(statements, merge_rules()).facts
    return [[each.kind for each in fact.conflicts if not each.is_hint] for fact in facts]


def test_a_supply_after_a_stop_is_raised_at_both_lines() -> None:
    assert conflicts(stop(), supply()) == [["status"], ["status"]]


@pytest.mark.parametrize(
    "other",
    [
        supply(day="2026-11-20"),
        supply(status="cancelled"),
        supply(source="RZ3"),
        entry(2, "MedicationDispense", "FA001", "Ramipril 5mg capsules", status="completed"),
    ],
    ids=["before the stop was sent", "not handed over", "of the source that stopped it", "without a day"],
)
def test_a_supply_before_the_stop_or_of_its_source_is_no_conflict(other: Statement) -> None:
    assert conflicts(stop(), other) == [[], []]


def test_a_supply_of_another_medicine_is_no_conflict() -> None:
    assert conflicts(stop("Amlodipine"), supply()) == [[], []]


def test_where_a_source_goes_on_with_the_medicine_its_own_line_has_the_conflict() -> None:
    again = entry(3, "MedicationRequest", "A81001", "Ramipril 5mg capsules", status="active", authoredOn="2026-11-24")

    assert conflicts(stop(), supply(), again) == [[], [], []]
