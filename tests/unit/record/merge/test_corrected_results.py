"""A corrected, cancelled or withdrawn result marks its earlier copies in every source; copies of a report are one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.merge.test_many_of_one_code import merged, observed

from onestory.record.merge.model import Fact

AT = "2026-11-26T08:15:00Z"
NUMBER: dict[str, Any] = {"identifier": [{"system": "https://lab.example/accession", "value": "26Z1"}]}
CT = {"coding": [{"system": "http://snomed.info/sct", "code": "419019007"}]}


def marked(*contents: dict[str, Any]) -> list[tuple[str, ...]]:
    """The explanation and the sides of each conflict."""
    conflicts = {conflict for fact in merged(contents).facts for conflict in fact.conflicts}
    return [(each.explanation, *("+".join(side) for side in each.sides)) for each in conflicts]


def report(conclusion: str = "", **more: Any) -> dict[str, Any]:
    said = {"conclusion": conclusion} if conclusion else {}
    plain = {"resourceType": "DiagnosticReport", "status": "final", "code": CT, "effectiveDateTime": AT}
    return {**plain, **said, **more}


@pytest.mark.parametrize("status", ["corrected", "amended"])
@pytest.mark.parametrize("at", [AT, "2026-11-26"])
def test_an_earlier_copy_of_a_corrected_result_is_marked(status: str, at: str) -> None:
    ((words, *sides),) = marked(observed(AT, 4.3, status=status), observed(at, 7.2))

    assert words.startswith("Corrected by the laboratory")
    assert sides == ["000000", "000001"]


def test_a_copy_with_the_number_of_the_laboratory_is_marked_at_another_time() -> None:
    assert len(marked(observed(AT, 4.3, status="corrected", **NUMBER), observed("2026-11-25", 7.2, **NUMBER))) == 1


def test_other_results_are_not_marked() -> None:
    corrected = observed(AT, 4.3, status="corrected")
    of_the_evening = observed("2026-11-26T20:00:00Z", 7.2)

    assert marked(corrected, of_the_evening) == []
    assert marked(corrected, of_the_evening, observed("2026-11-26", 7.2)) == []
    assert marked(corrected, observed(AT, 4.3)) == []
    assert marked(observed(AT, 4.3), observed(AT, 7.2)) == []


@pytest.mark.parametrize(
    ("status", "value", "words"),
    [("cancelled", None, "Cancelled by the laboratory. Do not use."), ("entered-in-error", 7.2, "Withdrawn by")],
)
def test_a_copy_of_a_result_that_no_longer_counts_is_marked(status: str, value: float | None, words: str) -> None:
    ((found, *_),) = marked(observed(AT, value, status=status), observed(AT, 7.2))

    assert found.startswith(words)


def test_a_corrected_report_marks_its_earlier_copy() -> None:
    assert len(marked(report("No fracture.", status="corrected"), report("Fracture of the wrist."))) == 1
    assert marked(report("No fracture.", status="corrected"), report("No  fracture.")) == []


def facts_of(*contents: dict[str, Any]) -> list[int]:
    facts: tuple[Fact, ...] = merged(contents).facts
    return sorted(len(fact.members) for fact in facts)


def test_copies_of_a_report_are_one() -> None:
    assert facts_of(report("No bleed."), report("no bleed."), report()) == [3]


def test_different_reports_stay_apart() -> None:
    assert facts_of(report("No bleed."), report("Bleed.")) == [1, 1]
    assert facts_of(report("No bleed."), report("Bleed."), report()) == [1, 1, 1]
    assert facts_of(report("No bleed."), report(effectiveDateTime="2026-11-26")) == [1, 1]
    assert facts_of(report("No bleed."), report("No bleed.", effectiveDateTime="2026-11-20")) == [1, 1]


@needs_clinical_cases
def test_the_corrected_potassium_leads_and_marks_the_copy() -> None:
    results = shown_case("61")["Results"]

    assert results.index("4.3 mmol/L") < results.index("7.2 mmol/L")
    assert "Corrected by the laboratory: do not use the earlier value." in results


@needs_clinical_cases
def test_a_report_and_its_copy_are_one_line() -> None:
    assert shown_case("65")["Results"].count("CT of head") == 1
