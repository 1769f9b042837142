"""Thousands of statements of one code are compared with few others each, and still find those that are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from onestory.record.merge import observation
from onestory.record.merge.engine import merge
from onestory.record.merge.model import Certainty, MergedRecord, Statement
from onestory.record.merge.pairs import Clusters
from onestory.record.merge.rules import merge_rules

BEGIN = datetime(2026, 1, 1, 8, tzinfo=UTC)
LOINC = "http://loinc.org"
MANY = 1200


def observed(at: str, value: float | None, unit: str = "mmol/L", **more: Any) -> dict[str, Any]:
    quantity = {} if value is None else {"valueQuantity": {"value": value, "unit": unit, "code": unit}}
    code = {"coding": [{"system": LOINC, "code": "2823-3"}]}
    return {"resourceType": "Observation", "status": "final", "code": code, "effectiveDateTime": at, **quantity, **more}


def merged(contents: Iterable[dict[str, Any]]) -> MergedRecord:
    """The contents as statements of three sources in turn, merged."""
    statements = [
        Statement(
            f"{place:06d}", each["resourceType"], "ABC"[place % 3], "lab", UUID(int=place), BEGIN, BEGIN, content=each
        )
        for place, each in enumerate(contents)
    ]
    return merge(statements, merge_rules())


def minute(count: int) -> str:
    return (BEGIN + timedelta(minutes=count)).isoformat()


@pytest.mark.parametrize(
    "content",
    [
        lambda place: observed(BEGIN.isoformat(), place),
        lambda place: observed(BEGIN.isoformat(), 4.1),
        lambda place: observed("2026-01-01", place / 10),
        lambda place: observed(minute(place), 4.1),
        lambda place: observed(BEGIN.isoformat(), place, status="cancelled" if place % 2 else "final"),
        lambda place: observed("2026-01-01", None, valueString=str(place)),
    ],
)
def test_each_observation_is_compared_with_few_others(
    content: Callable[[int], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    ask = Clusters.can_join
    at_one_time = observation.Observations._certainty_of_time

    def asked(*arguments: Any, **more: Any) -> bool:
        nonlocal compared
        compared += 1
        return ask(*arguments, **more)

    def timed(*arguments: Any) -> Certainty | None:
        nonlocal compared
        compared += 1
        return at_one_time(*arguments)

    monkeypatch.setattr(Clusters, "can_join", asked)
    monkeypatch.setattr(observation.Observations, "_certainty_of_time", timed)
    merged(content(place) for place in range(MANY))

    assert compared < 40 * MANY


def test_copies_among_thousands_are_found() -> None:
    facts = merged(observed(minute(place // 3), 3 + place // 3 % 5) for place in range(MANY)).facts

    assert [len(fact.members) for fact in facts] == [3] * (MANY // 3)


def test_statements_with_one_identifier_are_one_fact_however_many_there_are() -> None:
    named: dict[str, Any] = {"identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:0b0f"}]}

    assert len(merged(observed(minute(place), place, **named) for place in range(MANY)).facts) == 1
