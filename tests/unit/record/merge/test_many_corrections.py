"""Thousands of corrected results of one day are merged in a time that grows with their number, and none is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.rules import merge_rules

AT = datetime(2026, 3, 4, tzinfo=UTC)
CODE = {"coding": [{"system": "http://snomed.info/sct", "code": "1031101000000101", "display": "Urea"}]}


def result(number: int, status: str, when: str = "2026-03-03", value: int | None = None) -> Statement:
    content = {
        "resourceType": "Observation",
        "status": status,
        "code": CODE,
        "effectiveDateTime": when,
        "valueQuantity": {"value": number if value is None else value, "unit": "mmol/L"},
    }
    return Statement(f"r{number:05d}", "Observation", f"ORG{number % 7}", "lab", UUID(int=number), AT, AT, content)


def corrections(*statements: Statement) -> set[tuple[tuple[str, ...], ...]]:
    facts = merge(statements, merge_rules()).facts
    return {conflict.sides for fact in facts for conflict in fact.conflicts if conflict.kind == "corrected"}


def test_a_crowd_of_corrected_results_marks_every_possible_copy() -> None:
    corrected = [result(number, "corrected") for number in range(60)]
    copies = [result(number, "final") for number in range(60, 120)]
    (sides,) = corrections(*corrected, *copies)
    named = {shared_id for side in sides for shared_id in side}
    assert named == {each.shared_id for each in [*corrected, *copies]}


def test_a_few_corrected_results_are_compared_with_every_copy() -> None:
    corrected = [result(0, "corrected", value=5)]
    copies = [result(number, "final", value=5 if number % 2 else 6) for number in range(1, 61)]
    (sides,) = corrections(*corrected, *copies)
    assert set(sides) == {("r00000",), tuple(each.shared_id for each in copies if int(each.shared_id[1:]) % 2 == 0)}


def test_corrected_results_of_many_times_of_one_day_meet_only_the_copy_of_their_time() -> None:
    times = [f"2026-03-03T{hour:02d}:{minute:02d}:00Z" for hour in range(3) for minute in range(40)]
    corrected = [result(number, "corrected", when, value=5) for number, when in enumerate(times)]
    copies = [result(number + 1000, "final", when, value=6) for number, when in enumerate(times)]
    assert corrections(*corrected, *copies) == {
        ((one.shared_id,), (other.shared_id,)) for one, other in zip(corrected, copies, strict=True)
    }
