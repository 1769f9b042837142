"""A long hostile text takes time that grows with its length, and no more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.record.summary.written import NOW, known, said, term

from onestory.record.merge.model import Statement
from onestory.record.summary.document import summarise

LENGTH = 100_000
SECONDS = 15
"""Of the processor; a text of this length took many minutes where the time grew with its square."""


def medicine(words: str) -> Statement:
    name, dose, note = {"text": words}, [{"text": words}], [{"text": words}]
    asked: dict[str, Any] = {"medicationCodeableConcept": name, "dosageInstruction": dose, "note": note}
    return said("MedicationRequest", "m", status="active", intent="order", **asked)


def problem(words: str) -> Statement:
    active = term("condition-clinical", "active")
    return said("Condition", "c", clinicalStatus=active, code={"text": words}, note=[{"text": words}])


@pytest.mark.parametrize("make", [medicine, problem])
@pytest.mark.parametrize("piece", ["a ", "?", "1", "1,", "and ", "(", "<a ", "stopped a ", "key safe 1 "])
def test_a_long_text_is_read_in_time(make: Callable[[str], Statement], piece: str) -> None:
    statement = make((piece * LENGTH)[:LENGTH])
    before = time.process_time()

    summarise(known(statement), NOW)

    assert time.process_time() - before < SECONDS
