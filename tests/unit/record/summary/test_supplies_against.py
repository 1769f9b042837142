"""A medicine that was supplied although another source forbids or has stopped it stands at the top."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, said, told


def supplied(name: str = "Ibuprofen 200mg tablets", on: str = "2026-11-21") -> Any:
    concept = {"text": name}
    return said("MedicationDispense", "d", GP, status="completed", medicationCodeableConcept=concept, whenHandedOver=on)


def stated(local_id: str, name: str, status: str, organisation: str = HOSPITAL, **more: Any) -> Any:
    elements = {"status": status, "intent": "order", "authoredOn": "2026-10-01", **more}
    recorded = NOW - timedelta(days=30)
    return said(
        "MedicationRequest",
        local_id,
        organisation,
        recorded=recorded,
        medicationCodeableConcept={"text": name},
        **elements,
    )


@pytest.mark.parametrize(
    "against",
    [
        stated("r", "Ibuprofen", "active", doNotPerform=True, note=[{"text": "One kidney"}]),
        stated("r", "Brufen 400mg tablets", "stopped", statusReason={"text": "GI bleed"}),
    ],
)
def test_a_supply_against_an_order_or_a_stop_stands_at_the_top_and_at_its_line(against: Any) -> None:
    shown = told(supplied(), against)
    assert "Harbour Street Surgery" in shown["Please note"]
    assert shown["Please note"].count("21 Nov 2026") == 1
    assert shown["Medicines"].count("Vale Royal Hospital") > 1


@pytest.mark.parametrize(
    "others",
    [
        [stated("r", "Naproxen", "active", doNotPerform=True)],
        [stated("r", "Ibuprofen", "stopped", GP)],
        [stated("r", "Ibuprofen", "stopped"), stated("n", "Ibuprofen 400mg tablets", "active", GP)],
        [stated("r", "Ibuprofen", "completed")],
    ],
)
def test_another_medicine_or_an_order_of_now_is_no_warning(others: list[Any]) -> None:
    assert "all the same" not in str(told(supplied(), *others))


def test_a_supply_before_the_stop_is_no_warning() -> None:
    forbidden = stated("r", "Ibuprofen", "active", doNotPerform=True)
    assert "all the same" not in str(told(supplied(on="2026-09-01"), forbidden))
    assert "all the same" not in str(told(supplied(on="2026-09-01"), stated("r", "Ibuprofen", "stopped")))


def test_a_supply_that_was_declined_shows_the_reason() -> None:
    concept, why = {"text": "Codeine 30mg tablets"}, {"text": "Suspected misuse"}
    declined = said(
        "MedicationDispense", "d", status="declined", medicationCodeableConcept=concept, statusReasonCodeableConcept=why
    )
    medicines = told(declined)["Medicines"]
    assert "Not supplied" in medicines
    assert "Suspected misuse" in medicines
