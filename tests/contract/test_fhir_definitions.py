"""OneStory's own FHIR definitions (`schemas/fhir/*.json`) are valid FHIR R4 and match the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onestory.intake.domain.judgement import JUDGEMENT_SYSTEM, KEEP_APART, KEPT_APART_EXTENSION
from onestory.record.person.sources_words import STATED_BY_SOURCE
from onestory.record.provenance.domain import ORIGIN_SYSTEM, RECEIVED
from onestory.referral.appointments.bookings import BOOKING_NOTICE_CODES
from onestory.referral.notices.domain import CHANGED, NOTICE_CODES, NOTICE_SYSTEM, WITHDRAWN
from onestory.shared.fhir.validate import validate
from onestory.shared.kafka.schemas import schemas_folder

CANONICAL = "https://onestory.nhs.uk"
FILES = sorted((schemas_folder() / "fhir").glob("[A-Z]*.json"))


def held(path: Path) -> dict[str, Any]:
    definition: dict[str, Any] = json.loads(path.read_text())
    return definition


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_definition_is_valid_and_named_as_its_file_is(path: Path) -> None:
    definition = held(path)

    assert validate(path.read_bytes()) == []
    assert path.stem == f"{definition['resourceType']}-{definition['id']}"
    assert definition["url"] == f"{CANONICAL}/{definition['resourceType']}/{definition['id']}"


@pytest.mark.parametrize(
    "url", [KEPT_APART_EXTENSION, RECEIVED, STATED_BY_SOURCE, ORIGIN_SYSTEM, JUDGEMENT_SYSTEM, NOTICE_SYSTEM]
)
def test_what_the_code_writes_and_reads_is_defined(url: str) -> None:
    assert url in {held(path)["url"] for path in FILES}


def test_a_judgements_codes_are_those_that_the_door_takes() -> None:
    (system,) = [held(path) for path in FILES if held(path)["url"] == JUDGEMENT_SYSTEM]

    assert [concept["code"] for concept in system["concept"]] == [KEEP_APART]


def test_a_notices_codes_are_those_that_are_told() -> None:
    (system,) = [held(path) for path in FILES if held(path)["url"] == NOTICE_SYSTEM]

    codes = [concept["code"] for concept in system["concept"]]
    assert len(codes) == len(set(codes)) == system["count"]
    assert set(codes) == {*NOTICE_CODES.values(), *BOOKING_NOTICE_CODES.values(), CHANGED, WITHDRAWN}
