"""A judgement from before a person's NHS number was known also holds for the same resources under the number."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from onestory.record.merge.judgement import JUDGEMENT_SYSTEM, KEEP_APART, KEPT_APART, latest_verdicts, read_judgements
from onestory.record.merge.model import Statement

BEFORE, NUMBERED = "a" * 26, "b" * 26
ASTHMA, WHEEZE = "c" * 26, "d" * 26
JUDGED = (f"{BEFORE}-{ASTHMA}", f"{BEFORE}-{WHEEZE}")


def said(resource_type: str, content: dict[str, Any]) -> Statement:
    at = datetime(2026, 10, 1, tzinfo=UTC)
    return Statement(
        shared_id="j",
        resource_type=resource_type,
        organisation="A81001",
        system="emis-web",
        recorded_at=at,
        broker_time=at,
        event_id=UUID(int=1),
        content=content,
    )


def same(*named: str) -> Statement:
    return said("Linkage", {"item": [{"resource": {"reference": f"Condition/{each}"}} for each in named]})


def apart(*named: str) -> Statement:
    extensions = [{"url": KEPT_APART, "valueReference": {"reference": f"Condition/{each}"}} for each in named]
    code = {"coding": [{"system": JUDGEMENT_SYSTEM, "code": KEEP_APART}]}
    return said("Basic", {"code": code, "extension": extensions})


@pytest.mark.parametrize("judgement", [same, apart])
def test_a_judgement_speaks_of_the_same_resources_under_another_identity(judgement: Any) -> None:
    places = {f"{NUMBERED}-{ASTHMA}": 0, f"{BEFORE}-{WHEEZE}": 1}

    (found,) = read_judgements([judgement(*JUDGED)], places)

    assert set(found.statement_ids) == places.keys()
    assert list(latest_verdicts([found], places)) == [(0, 1)]


def test_where_both_are_there_it_speaks_of_the_one_that_it_names() -> None:
    places = {f"{NUMBERED}-{ASTHMA}": 0, JUDGED[0]: 1, JUDGED[1]: 2}

    (found,) = read_judgements([apart(*JUDGED)], places)

    assert found.statement_ids == JUDGED


def test_of_what_is_not_there_it_does_not_speak() -> None:
    (found,) = read_judgements([apart(*JUDGED)], {JUDGED[0]: 0, f"{NUMBERED}-{'e' * 26}": 1})

    assert found.statement_ids == JUDGED[:1]
