"""Merging reads clinical dates as days in the United Kingdom, with the precision that the source states."""

from __future__ import annotations

from datetime import datetime

import pytest

from onestory.record.merge.values import ClinicalSpan, microseconds, span


def known(value: str) -> ClinicalSpan:
    found = span(value)
    assert found is not None
    return found


def at(moment: str) -> int:
    return microseconds(datetime.fromisoformat(moment))


@pytest.mark.parametrize(
    ("value", "since", "before"),
    [
        ("2026-01-15", "2026-01-15T00:00:00+00:00", "2026-01-16T00:00:00+00:00"),
        ("2026-07-15", "2026-07-14T23:00:00+00:00", "2026-07-15T23:00:00+00:00"),
        # The clocks change on these days: one has 23 hours, the other 25.
        ("2026-03-29", "2026-03-29T00:00:00+00:00", "2026-03-29T23:00:00+00:00"),
        ("2026-10-25", "2026-10-24T23:00:00+00:00", "2026-10-26T00:00:00+00:00"),
        ("2024-02", "2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        ("2026-12", "2026-12-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ("2026", "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ("2026-07-15T09:00", "2026-07-15T08:00:00+00:00", "2026-07-15T08:01:00+00:00"),
        ("2026-07-15T09:00:00+01:00", "2026-07-15T08:00:00+00:00", "2026-07-15T08:00:01+00:00"),
        ("2026-07-15T09:00:00-05:00", "2026-07-15T14:00:00+00:00", "2026-07-15T14:00:01+00:00"),
    ],
)
def test_a_date_is_the_time_that_it_stands_for(value: str, since: str, before: str) -> None:
    assert (known(value).since, known(value).before) == (at(since), at(before))


def test_a_moment_is_on_the_day_that_the_clock_on_the_wall_shows() -> None:
    late = known("2026-07-14T23:30:00Z")
    winter = known("2026-01-14T23:30:00Z")

    assert late.day == known("2026-07-15").day
    assert winter.day == known("2026-01-14").day


def test_a_month_and_a_year_are_no_day() -> None:
    assert known("2026-07").day is None
    assert known("2026").day is None


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("2026", "2026-07-15", True),
        ("2026", "2027-01-01", False),
        ("2026-07", "2026-06-30T23:30:00Z", True),
        ("2026-07-15", "2026-07-16", False),
        ("2026-07-15T09:00:00Z", "2026-07-15T10:00:00+01:00", True),
        ("2026-07-15T09:00:00Z", "2026-07-15T09:00:01Z", False),
    ],
)
def test_dates_overlap_as_far_as_they_are_known(one: str, other: str, overlap: bool) -> None:
    assert known(one).overlaps(known(other)) is overlap
    assert known(other).overlaps(known(one)) is overlap


@pytest.mark.parametrize(
    "value",
    [None, 2026, True, [], "", "yesterday", "2026-02-30", "2026-13", "0000", "26", "2026-1-1", "20260115", "2026-W03",
     "2026-01-15T25:00:00Z", "2026-01-15T09:00:00+99:00", "2026-01-15 09:00", "２０２６", "2" * 100],
)  # fmt: skip
def test_what_is_no_date_is_not_there(value: object) -> None:
    assert span(value) is None


@pytest.mark.parametrize("value", ["0001-01-01", "9999-12-31", "9999-12", "9999", "0001-01-01T00:00:00+14:00"])
def test_the_ends_of_the_calendar_are_dates(value: str) -> None:
    assert known(value).since < known(value).before
