"""IPS allows a section one entry of some codes; further statements stay in the narrative."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.record.summary.written import HOSPITAL, NOW, code, known, said, term

from onestory.record.merge.model import Statement
from onestory.record.summary.document import summarise

SOCIAL = term("observation-category", "social-history")


def social_history(*statements: Statement) -> dict[str, Any]:
    sections = json.loads(summarise(known(*statements), NOW).document)["entry"][0]["resource"]["section"]
    return next(each for each in sections if each["code"]["coding"][0]["code"] == "29762-2")


def smoking(local_id: str, day: str, says: str, organisation: str) -> Statement:
    asked = code("72166-2", "Tobacco smoking status", "http://loinc.org")
    answer: dict[str, Any] = {"valueCodeableConcept": {"text": says}}
    return said("Observation", local_id, organisation, status="final", code=asked, effectiveDateTime=day, **answer)


def test_the_newest_smoking_status_is_the_only_entry_and_all_are_shown() -> None:
    section = social_history(
        smoking("a", "2026-01-01", "Ex-smoker", HOSPITAL), smoking("b", "2024-05-01", "Smoker", "A81001")
    )

    assert [each["reference"].rpartition("/")[2] for each in section["entry"]] == ["a-rz3"]
    assert "May 2024" in section["text"]["div"]


def test_facts_with_other_codes_are_all_entries() -> None:
    facts = [
        said("Observation", each, status="final", code=code(each, "Fact"), category=[SOCIAL], valueString="yes")
        for each in ("224087000", "160734000")
    ]

    assert len(social_history(*facts)["entry"]) == 2
