"""`start` and `end` of `$everything`: which resources are about care in that time."""

from __future__ import annotations

from typing import Any

import pytest

from onestory.record.search.care_dates import is_in_care_range, parse_care_range
from onestory.shared.errors import Malformed


def is_in(resource: dict[str, Any], start: str | None = "2024-01-01", end: str | None = "2024-12-31") -> bool:
    return is_in_care_range(resource, parse_care_range(start, end))


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"effectiveDateTime": "2024-06-01"}, True),
        ({"effectiveDateTime": "2024-01-01"}, True),
        ({"effectiveDateTime": "2024-12-31T23:00:00Z"}, True),
        ({"effectiveDateTime": "2025-01-01"}, False),
        ({"effectiveDateTime": "2023-12-31"}, False),
        ({"effectiveDateTime": "2024"}, True),
        ({"effectivePeriod": {"start": "2020", "end": "2024-02"}}, True),
        ({"effectivePeriod": {"start": "2020", "end": "2023-02"}}, False),
        ({"effectivePeriod": {"start": "2020"}}, True),
        ({"effectiveTiming": {"event": ["2023-05-01", "2024-05-01"]}}, True),
        ({"effectiveDateTime": "2023-05-01", "issued": "2024-05-01T09:00:00Z"}, False),
        ({"issued": "2025-05-01T09:00:00Z"}, False),
        ({}, True),
        ({"effectiveDateTime": "soon"}, True),
    ],
)
def test_a_result_belongs_to_the_time_that_it_was_taken(elements: dict[str, Any], found: bool) -> None:
    assert is_in({"resourceType": "Observation", **elements}) is found


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"onsetDateTime": "2010"}, True),
        ({"onsetDateTime": "2010", "abatementDateTime": "2015"}, False),
        ({"onsetDateTime": "2010", "abatementDateTime": "2024-03"}, True),
        ({"onsetPeriod": {"start": "2025"}}, False),
        ({"abatementDateTime": "2024"}, True),
        ({"onsetString": "as a child"}, True),
    ],
)
def test_a_condition_goes_on_until_it_abates(elements: dict[str, Any], found: bool) -> None:
    assert is_in({"resourceType": "Condition", **elements}) is found


@pytest.mark.parametrize(
    ("status", "validity", "found"),
    [
        ("active", {}, True),
        ("on-hold", {}, True),
        ("stopped", {}, False),
        ("completed", {}, False),
        ("completed", {"dispenseRequest": {"validityPeriod": {"end": "2024-02-01"}}}, True),
        ("active", {"dispenseRequest": {"validityPeriod": {"end": "2021-02-01"}}}, False),
    ],
)
def test_an_order_goes_on_while_it_is_open(status: str, validity: dict[str, Any], found: bool) -> None:
    order = {"resourceType": "MedicationRequest", "status": status, "authoredOn": "2020-02-01", **validity}

    assert is_in(order) is found


@pytest.mark.parametrize("resource_type", ["Patient", "AllergyIntolerance", "Organization", "Medication", "Consent"])
def test_a_resource_without_a_time_of_care_is_in_every_range(resource_type: str) -> None:
    assert is_in({"resourceType": resource_type, "recordedDate": "2010-01-01"})


def test_each_end_may_be_open() -> None:
    result = {"resourceType": "Observation", "effectiveDateTime": "2024-06-01"}

    assert is_in(result, "2024-06-01", None)
    assert not is_in(result, "2024-06-02", None)
    assert is_in(result, None, "2024-06-01")
    assert not is_in(result, None, "2024-05-31")
    assert is_in(result, None, None)


@pytest.mark.parametrize(("start", "end"), [("soon", None), (None, ""), ("2024-02-30", None), ("2025", "2024")])
def test_a_range_that_cannot_be_read_is_refused(start: str | None, end: str | None) -> None:
    with pytest.raises(Malformed):
        parse_care_range(start, end)
