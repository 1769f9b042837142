"""A result in two units, or rounded, is one result; a slip of the decimal point never is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.merge.test_many_of_one_code import merged, observed

from onestory.record.merge.finding import finding_of
from onestory.record.merge.rules import merge_rules

AT = "2026-11-20T08:15:00Z"
UNITS = ["g/L", "g/dL", "mg/dL", "mmol/L", "umol/L", "kg", "[lb_av]", "%", "mm[Hg]", "kPa", "stones"]


def facts_of(*values: tuple[float, str], **more: Any) -> int:
    """How many facts these values of one time form."""
    return len(merged(observed(AT, value, unit, **more) for value, unit in values).facts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((8.1, "g/dL"), (81, "g/L")),
        ((82.5, "kg"), (181.9, "lb")),
        ((38.5, "Cel"), (101.3, "[degF]")),
        ((13.3, "kPa"), (100, "mmHg")),
        ((1.71, "m"), (171, "cm")),
        ((0.098, "mmol/L"), (98, "umol/L")),
        ((27.4, "kg/m2"), (27.44, "kg/m2")),
    ],
)
def test_one_value_in_two_units_or_roundings_is_one_fact(one: tuple[float, str], other: tuple[float, str]) -> None:
    assert facts_of(one, other) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((81, "g/L"), (81, "g/dL")),
        ((8.1, "g/L"), (81, "g/L")),
        ((8.25, "kg"), (82.5, "kg")),
        ((4, "mmol/L"), (4.3, "mmol/L")),
        ((27.4, "kg/m2"), (27.5, "kg/m2")),
        ((5.5, "mmol/L"), (99, "mg/dL")),
        ((7, "stones"), (7.01, "stones")),
    ],
)
def test_other_values_stay_apart(one: tuple[float, str], other: tuple[float, str]) -> None:
    assert facts_of(one, other) == 2


@pytest.mark.parametrize(
    ("code", "one", "other"),
    [
        ("4548-4", (6.5, "%"), (48, "mmol/mol")),
        ("2345-7", (99, "mg/dL"), (5.5, "mmol/L")),
        ("2160-0", (1.11, "mg/dL"), (98, "umol/L")),
    ],
)
def test_two_scales_are_compared_for_named_measurements(
    code: str, one: tuple[float, str], other: tuple[float, str]
) -> None:
    assert facts_of(one, other, code={"coding": [{"system": "http://loinc.org", "code": code}]}) == 1


_values = some.tuples(
    some.one_of(some.integers(0, 300), some.decimals(0, 300, places=1).map(float)), some.sampled_from(UNITS)
)


@given(_values, _values)
def test_values_that_match_are_always_compared(one: tuple[float, str], other: tuple[float, str]) -> None:
    found = [finding_of(observed(AT, *each), (), merge_rules()) for each in (one, other)]

    shared = set(found[0].bucket_keys()) & set(found[1].bucket_keys())
    assert shared or found[0].match(found[1]) is None


@needs_clinical_cases
def test_a_haemoglobin_in_two_units_is_one_line() -> None:
    results = shown_case("60")["Results"]

    assert results.count("Haemoglobin") == 1
    assert "81 g/L" in results
