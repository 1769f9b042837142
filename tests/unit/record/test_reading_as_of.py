"""The `asOf` parameter is one instant. It may be given once, and it is not in the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from onestory.record.search.parameters import parse_as_of
from onestory.shared.errors import Malformed

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-22T08:00:00Z", NOW - timedelta(hours=1)),
        ("2026-11-22T09:00:00+01:00", NOW - timedelta(hours=1)),
        ("2026-11-22T09:00:00 01:00", NOW - timedelta(hours=1)),
        ("2026-11-22T08:59:59.999Z", NOW - timedelta(milliseconds=1)),
        ("2026-11-22T09:00:00.000Z", NOW),
    ],
)
def test_a_moment_is_read_in_any_zone(value: str, moment: datetime) -> None:
    assert parse_as_of([("asOf", value)], NOW) == moment


def test_without_it_the_record_is_asked_for_as_it_is() -> None:
    assert parse_as_of([("_count", "5")], NOW) is None


@pytest.mark.parametrize(
    "value",
    ["", "2026", "2026-11", "2026-11-22", "2026-11-22T08:00", "2026-11-22T08:00:00", "yesterday", "2026-13-01T"],
)
def test_what_is_not_one_moment_is_refused(value: str) -> None:
    with pytest.raises(Malformed, match="Send date, time and zone"):
        parse_as_of([("asOf", value)], NOW)


def test_the_future_is_refused_and_the_time_told() -> None:
    with pytest.raises(Malformed, match=r"in the future. Send an instant before 2026-11-22T09:00:00\.000Z"):
        parse_as_of([("asOf", "2026-11-22T09:00:00.001Z")], NOW)


def test_it_may_be_given_once() -> None:
    with pytest.raises(Malformed, match="once"):
        parse_as_of([("asOf", "2026-11-22T08:00:00Z"), ("asOf", "2026-11-21T08:00:00Z")], NOW)
