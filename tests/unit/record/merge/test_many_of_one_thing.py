"""Thousands of conditions or doses of one code are compared with few others each, with the same result as for few."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from onestory.record.merge import medication
from onestory.record.merge.condition import Conditions
from onestory.record.merge.engine import merge
from onestory.record.merge.model import MergedRecord, Statement
from onestory.record.merge.rules import merge_rules

NOW = datetime(2026, 1, 1, 8, tzinfo=UTC)
SNOMED = "http://snomed.info/sct"
MANY = 600


def merged(contents: list[dict[str, Any]], sources: int = 3) -> MergedRecord:
    """The contents as statements of so many sources in turn, merged."""
    return merge(
        [
            Statement(f"{n:06d}", each["resourceType"], f"S{n % sources}", "x", UUID(int=n), NOW, NOW, content=each)
            for n, each in enumerate(contents)
        ],
        merge_rules(),
    )


def infection(onset: str, **more: Any) -> dict[str, Any]:
    code = {"coding": [{"system": SNOMED, "code": "65363002"}]}
    return {"resourceType": "Condition", "code": code, "onsetDateTime": onset, **more}


def dose(milligrams: int) -> dict[str, Any]:
    concept = {"coding": [{"system": SNOMED, "code": "319775004"}], "text": "Aspirin 75 mg tablets"}
    directions = {"doseAndRate": [{"doseQuantity": {"value": milligrams, "unit": "mg"}}]}
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "authoredOn": "2025-12-01",
        "medicationCodeableConcept": concept,
        "dosageInstruction": [directions],
    }


def counted(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str) -> Callable[[], int]:
    calls = 0
    ask = getattr(holder, name)

    def count(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return ask(*arguments)

    monkeypatch.setattr(holder, name, count)
    return lambda: calls


def test_conditions_of_all_different_years_are_compared_with_few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = counted(monkeypatch, Conditions, "_may_be_same")
    facts = merged([infection(f"{2025 - n:04d}") for n in range(MANY)]).facts
    assert len(facts) == MANY
    assert compared() < 10 * MANY


def test_conditions_that_overlap_among_thousands_are_still_joined() -> None:
    onsets = [f"{2025 - n:04d}" for n in range(MANY)]
    facts = merged([*map(infection, onsets), infection("2001-05-01"), infection("1980-01-01")], sources=MANY + 2).facts
    assert [len(fact.members) for fact in facts if fact.onset.startswith("2001")] == [2]
    assert [len(fact.members) for fact in facts if fact.onset.startswith("1980")] == [2]


def test_an_illness_with_a_stated_end_meets_the_onsets_up_to_its_end() -> None:
    years = [infection(f"{1900 + n:04d}") for n in range(20)]
    long = infection("1950-01-01", abatementDateTime="1956-01-01")
    facts = merged([*years, long, infection("1955")], sources=22).facts
    assert sorted(len(fact.members) for fact in facts) == [*[1] * 20, 2]


def test_thousands_of_different_doses_are_compared_with_few_others_and_all_stand_in_the_conflict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = counted(monkeypatch, medication, "compare")
    fact, *others = merged([dose(n + 1) for n in range(MANY)] + [dose(MANY)], sources=MANY + 1).facts
    assert not others
    (conflict,) = fact.conflicts
    assert len(conflict.sides) == MANY
    assert compared() <= medication.MAX_COMPARED * (MANY + 1)
