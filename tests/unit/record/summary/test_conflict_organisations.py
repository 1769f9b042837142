"""A conflict names the organisations of its sides as the source column does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.record.summary.written import GP, HOSPITAL, NOW, code, known, said

from onestory.record.merge.model import Statement
from onestory.record.summary.document import summarise

ODS = "https://fhir.nhs.uk/Id/ods-organization-code"


def problem(organisation: str, name: str, status: str) -> Statement:
    term = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": status}]}
    recorder = {"identifier": {"system": ODS, "value": organisation}, "display": name}
    stated: dict[str, Any] = {"clinicalStatus": term, "code": code("195967001", "Asthma"), "recorder": recorder}
    return said("Condition", "asthma", organisation, **stated)


def test_a_side_has_the_name_that_its_source_gives_itself() -> None:
    both = problem(GP, "Harbour Street Surgery", "active"), problem(HOSPITAL, "Vale Royal Hospital", "resolved")
    document = summarise(replace(known(*both), organisation_names={}), NOW).document.decode()

    assert "Vale Royal Hospital, 22 Nov 2026: Asthma" in document
    assert "RZ3, 22 Nov 2026" not in document
