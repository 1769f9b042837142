"""Of statements that were recorded on one day, the one in the words of its code leads, whichever was sent last."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.rules import merge_rules

PENICILLIN = {"system": "http://snomed.info/sct", "code": "91936005", "display": "Allergy to penicillin"}
DEMENTIA = {"system": "http://snomed.info/sct", "code": "26929004", "display": "Alzheimer's disease"}


def recorded(number: int, kind: str, coding: dict[str, str], words: str, sent: datetime) -> Statement:
    content = {
        "resourceType": kind,
        "recordedDate": "2013-09-30",
        "onsetDateTime": "2013-09-30",
        "code": {"coding": [coding], "text": words} if words else {"coding": [coding]},
    }
    return Statement(f"s{number}", kind, f"X{number}", "main", UUID(int=number), sent, sent, content)


@pytest.mark.parametrize(
    ("kind", "coding", "plain", "other"),
    [
        ("AllergyIntolerance", PENICILLIN, "Allergy to penicillin", "Allergy to penicillin - as per GP"),
        ("AllergyIntolerance", PENICILLIN, "", "Allergy to penicillin - as per GP"),
        ("Condition", DEMENTIA, "alzheimer's disease", "Alzheimer's disease (patient reported, on caseload)"),
    ],
)
def test_the_plain_words_lead(kind: str, coding: dict[str, str], plain: str, other: str) -> None:
    first, last = datetime(2013, 9, 30, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)

    (fact,) = merge(
        [recorded(1, kind, coding, plain, first), recorded(2, kind, coding, other, last)], merge_rules()
    ).facts

    assert fact.shown.shared_id == "s1"
