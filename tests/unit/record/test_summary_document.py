"""The document of a summary: its envelope, and what of it counts as content."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from onestory.record.domain.merge.fact import Merged
from onestory.record.domain.summary.document import summarise
from onestory.record.domain.summary.known import Known
from onestory.record.domain.summary.page import page

PATIENT = b'{"resourceType":"Patient","id":"9990000018","meta":{"versionId":"1"},"birthDate":"1941-03"}'
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
LATER = datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_of_whom_nothing_is_known_the_required_sections_are_unavailable_and_never_nil_known() -> None:
    summary = json.loads(summarise(Known(PATIENT, Merged(()), {}, "https://care.example/fhir"), NOW).document)

    sections = {each["code"]["coding"][0]["code"]: each for each in summary["entry"][0]["resource"]["section"]}
    for code in ("48765-2", "10160-0", "11450-4"):
        assert sections[code]["emptyReason"]["coding"][0]["code"] == "unavailable"


def test_the_digest_knows_no_clock_and_no_address() -> None:
    here = Known(PATIENT, Merged(()), {}, "https://care.example/fhir")
    there = Known(PATIENT, Merged(()), {}, "https://other.example/fhir")

    assert summarise(here, NOW).digest == summarise(there, LATER).digest
    assert summarise(here, NOW).document != summarise(here, LATER).document


def test_the_page_says_what_the_document_says() -> None:
    shown = page(summarise(Known(PATIENT, Merged(()), {}, "https://care.example/fhir"), NOW).document).decode()

    assert shown.startswith("<!DOCTYPE html>")
    assert "Allergies and intolerances" in shown
