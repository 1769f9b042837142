"""The time of care that a resource is about, for `start` and `end` of `$everything`.

FHIR R4, http://hl7.org/fhir/R4/patient-operation-everything.html: "The date range relates to care dates, not record
currency dates". A resource without a date of care is always in range, because it may matter for any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onestory.record.search.dates import ANY_TIME, TimeRange, span
from onestory.record.search.filters import element_values, time_range_of
from onestory.shared.errors import Malformed
from onestory.shared.fhir.definitions import CareDates, SearchParameterDefinition, Steps, care_dates


def parse_care_range(start: str | None, end: str | None) -> TimeRange:
    """The time from `start` to the end of `end`, both included. Raises `Malformed`."""
    begins = _read("start", start) if start is not None else ANY_TIME
    ends = _read("end", end) if end is not None else ANY_TIME
    if begins.since and ends.before and begins.since >= ends.before:
        raise Malformed("start, end: start is after end. Send start before end.", code="value")
    return TimeRange(begins.since, ends.before)


def is_in_care_range(resource: Mapping[str, Any], wanted: TimeRange) -> bool:
    """Whether the care that the resource is about has a part in this time, or has no known time."""
    definition = care_dates().get(str(resource.get("resourceType")))
    stated = _time_of_care(resource, definition) if definition else None
    if stated is None:
        return True
    begins_in_time = wanted.before is None or stated.since is None or stated.since < wanted.before
    return begins_in_time and (wanted.since is None or stated.before is None or stated.before > wanted.since)


def _time_of_care(resource: Mapping[str, Any], definition: CareDates) -> TimeRange | None:
    at = _first_range(resource, definition.at)
    if at is not None:
        return at
    begin, end = _first_range(resource, definition.begin), _first_range(resource, definition.end)
    if begin is None and end is None:
        return None
    if end is None and begin and definition.open_while and resource.get("status") not in definition.open_while:
        return begin
    return TimeRange(begin and begin.since, end and end.before)


def _first_range(resource: Mapping[str, Any], paths: Sequence[Steps]) -> TimeRange | None:
    for steps in paths:
        values = element_values(resource, SearchParameterDefinition("date", (steps,)))
        ranges = [stated for value in values if (stated := time_range_of(value))]
        if ranges:
            return ranges[0]
    return None


def _read(name: str, value: str) -> TimeRange:
    # A plus sign that was not escaped arrives as a space.
    found = span(value.replace(" ", "+"))
    if found is None:
        raise Malformed(f"{name}: it is not a FHIR date. Send one, such as 2026-11-22.", code="value")
    return found
