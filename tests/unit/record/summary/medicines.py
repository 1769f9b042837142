"""Builds the requests and statements of the tests of medicines."""

from __future__ import annotations

from typing import Any

from tests.unit.record.summary.written import GP, said


def order(local_id: str, organisation: str, name: str, words: str = "", on: str = "2026-11-01", **more: Any) -> Any:
    """An active order of a medicine in words."""
    stated = {"status": "active", "intent": "order", "authoredOn": on, **more}
    if words:
        stated["dosageInstruction"] = [{"text": words}]
    return said("MedicationRequest", local_id, organisation, **{"medicationCodeableConcept": {"text": name}, **stated})


def use(local_id: str, organisation: str, name: str, words: str = "", **more: Any) -> Any:
    """A statement that a medicine is taken."""
    stated = {"status": "active", "dateAsserted": "2026-11-20", **more}
    if words:
        stated["dosage"] = [{"text": words}]
    return said(
        "MedicationStatement", local_id, organisation, **{"medicationCodeableConcept": {"text": name}, **stated}
    )


def listed(name: str, words: str = "One daily") -> Any:
    """An order on the list of the practice since April."""
    return order("gp", GP, name, words, "2026-04-01")
