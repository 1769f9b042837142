"""The side of the body and the day of the week are part of a dose."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.medicines import listed, order
from tests.unit.record.summary.written import GP, HOSPITAL, told

from onestory.record.medicines.sites import sides_of

DROPS = "Latanoprost 50micrograms/ml eye drops"


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ("One drop at night in BOTH EYES", "1 drop LEFT eye ON", True),
        ("One drop in the right eye at night", "1 drop nocte left eye", True),
        ("One drop at night to each eye", "1 drop nocte both eyes", False),
        ("One drop to both eyes at night", "1 drop nocte BE", False),
        ("One drop at night", "1 drop nocte left eye", False),
        ("One drop at night left and right eye", "1 drop nocte both eyes", False),
    ],
)
def test_two_sides_are_two_doses(one: str, other: str, *, differ: bool) -> None:
    shown = told(listed(DROPS, one), order("b", HOSPITAL, DROPS, other))
    assert ("DOSES DIFFER" in shown.get("Please note", "")) is differ


def test_a_coded_site_counts_and_is_shown() -> None:
    dosage: list[dict[str, Any]] = [{"text": "1 drop nocte", "site": {"text": "Left eye"}}]
    shown = told(listed(DROPS, "One drop at night, right eye"), order("b", HOSPITAL, DROPS, dosageInstruction=dosage))
    assert "1 drop nocte (Left eye)" in shown["Please note"]


@pytest.mark.parametrize("words", ["One to be taken daily", "Re: dose, see letter", "Apply to left upper arm", "1 OD"])
def test_other_words_are_no_side(words: str) -> None:
    assert not sides_of({"text": words})


def test_another_day_of_the_week_is_another_dose() -> None:
    name = "Methotrexate 2.5mg tablets"
    monday, friday = (
        listed(name, "6 tablets once a week on Mondays"),
        order("b", HOSPITAL, name, "15mg weekly on FRIDAY"),
    )
    assert "DOSES DIFFER" in told(monday, friday)["Please note"]
    assert "Please note" not in told(monday, order("b", HOSPITAL, name, "15mg weekly on Monday"))


def test_the_lines_of_a_source_are_compared_together() -> None:
    name, words = "Lamotrigine {}mg tablets", "One twice a day"
    both = [order(f"g{n}", GP, name.format(n), words, "2026-04-01") for n in (100, 25)]
    assert "DOSES DIFFER" in told(*both, order("b", HOSPITAL, name.format(100), "100 mg BD"))["Please note"]
    assert "Please note" not in told(*both, order("b", HOSPITAL, "Lamotrigine tablets", "125 mg BD"))
    unclear = order("g3", GP, name.format(5), "As directed", "2026-04-01")
    assert "Please note" not in told(*both, unclear, order("b", HOSPITAL, name.format(100), "100 mg BD"))


def test_a_strength_in_short_is_not_another_strength() -> None:
    full = listed("Fostair 100micrograms/dose / 6micrograms/dose inhaler", "Two puffs twice a day")
    assert (
        "another strength" not in told(full, order("b", HOSPITAL, "Fostair 100/6 inhaler", "2 puffs BD"))["Medicines"]
    )


def test_short_timings_are_written_out_before_a_route_and_between_doses() -> None:
    shown = told(listed("Insulin glargine", "20 units OD SC"), listed("Clozapine", "100 mg OM and 200 mg ON"))
    assert "20 units once a day SC" in told(listed("Insulin glargine", "20 units OD SC"))["Medicines"]
    assert "100 mg every morning and 200 mg every night" in shown["Medicines"]
