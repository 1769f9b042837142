"""FHIR dates: a date, or a time without a zone, is UK time by the rules of its year."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onestory.record.merge.values import microseconds
from onestory.record.merge.values import span as merge_span
from onestory.record.person.registration import first_day, last_day
from onestory.record.search.dates import span as search_span
from onestory.shared.fhir.dates import NEVER, DateSpan, parse_date, parse_instant, parse_period, uk_day, uk_midnight


def known(text: str) -> DateSpan:
    parsed = parse_date(text)
    assert parsed is not None
    return parsed


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2026-01-15", "2026-01-15T00:00", "2026-01-16T00:00"),
        ("2026-07-15", "2026-07-14T23:00", "2026-07-15T23:00"),
        ("2026-03-29", "2026-03-29T00:00", "2026-03-29T23:00"),
        ("2026-10-25", "2026-10-24T23:00", "2026-10-26T00:00"),
        # From 1968 to 1971 the UK had summer time all year.
        ("1970-01-15", "1970-01-14T23:00", "1970-01-15T23:00"),
        ("1970-12-24T12:00:00", "1970-12-24T11:00:00", "1970-12-24T11:00:01"),
        # In 1995 summer time ended on 22 October, not on the last Sunday of the month.
        ("1995-10-21T12:00:00", "1995-10-21T11:00:00", "1995-10-21T11:00:01"),
        ("1995-10-25T12:00:00", "1995-10-25T12:00:00", "1995-10-25T12:00:01"),
        ("2026-07", "2026-06-30T23:00", "2026-07-31T23:00"),
        ("2026", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("2026-07-15T09:00", "2026-07-15T08:00", "2026-07-15T08:01"),
        ("2026-07-15T09:00:00.5", "2026-07-15T08:00:00.500000", "2026-07-15T08:00:00.600000"),
        ("2026-07-15T09:00:00-05:00", "2026-07-15T14:00:00", "2026-07-15T14:00:01"),
        ("2026-07-15T09:00:00.1234567Z", "2026-07-15T09:00:00.123456", "2026-07-15T09:00:00.123457"),
    ],
)
def test_a_date_is_a_span_of_uk_time(text: str, begin: str, end: str) -> None:
    assert (known(text).begin, known(text).end) == (utc(begin), utc(end))


@pytest.mark.parametrize("text", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.75Z", "2017-01-01T00:59:60+01:00"])
def test_second_60_is_the_last_instant_of_its_minute(text: str) -> None:
    leap = known(text)

    assert known("2016-12-31T23:59:59.999Z").begin < leap.begin < utc("2017-01-01T00:00:00") == leap.end
    assert parse_instant(text) == leap.begin
    assert uk_day(leap.begin) == date(2016, 12, 31)


@pytest.mark.parametrize("text", ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59Z", "0001-01-01T00:00+14:00"])
def test_the_ends_of_the_calendar_are_dates(text: str) -> None:
    assert known(text).begin < known(text).end <= NEVER


@pytest.mark.parametrize(
    ("period", "begin", "end"),
    [
        ({}, None, None),
        ({"start": "2026-07-01"}, "2026-06-30T23:00", None),
        ({"end": "2026-07-01"}, None, "2026-07-01T23:00"),
        ({"end": "9999-12-31"}, None, None),
        ({"start": "2026-07-01T09:00", "end": "2026-07-01T17:00"}, "2026-07-01T08:00", "2026-07-01T16:00"),
    ],
)
def test_a_period_without_an_end_is_open(period: dict[str, str], begin: str | None, end: str | None) -> None:
    assert parse_period(period) == (begin and utc(begin), end and utc(end))


@pytest.mark.parametrize("period", [{"start": "soon"}, {"end": ""}, {"end": None}, {"start": "2026-02-30"}])
def test_a_period_with_an_invalid_date_is_refused(period: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        parse_period(period)


_DAYS = st.dates(date(1900, 1, 1), date(2100, 1, 1))
_ZONES = st.sampled_from(["", "Z", "+01:00", "-11:30"])
_TIMES = st.times().map(lambda at: at.isoformat(timespec="seconds")) | st.just("23:59:60")


@given(_DAYS, _TIMES | st.none(), _ZONES)
def test_search_merge_and_registration_read_the_same_date_alike(day: date, at: str | None, zone: str) -> None:
    text = f"{day}T{at}{zone}" if at else f"{day}"
    parsed = known(text)

    assert search_span(text) == (parsed.begin, parsed.end)
    merged = merge_span(text)
    assert merged is not None
    assert (merged.since, merged.before) == (microseconds(parsed.begin), microseconds(parsed.end))
    assert first_day({"start": text}) == last_day({"end": text}) == uk_day(parsed.begin)


@given(_DAYS)
def test_a_uk_day_ends_when_the_next_one_begins(day: date) -> None:
    assert known(f"{day}").end == uk_midnight(day + timedelta(days=1)) == known(f"{day + timedelta(days=1)}").begin
    assert uk_day(known(f"{day}").begin) == day
