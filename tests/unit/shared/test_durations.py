"""Settings accept ISO 8601 durations of fixed length, and no other text."""

from __future__ import annotations

from datetime import timedelta

import pytest

from onestory.shared.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("P1D", timedelta(days=1)),
        ("PT1H", timedelta(hours=1)),
        ("PT90M", timedelta(minutes=90)),
        ("PT30S", timedelta(seconds=30)),
        ("P1DT6H", timedelta(days=1, hours=6)),
        ("P2W", timedelta(weeks=2)),
    ],
)
def test_days_hours_minutes_seconds_and_weeks_are_lengths_of_time(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "1D", "P1M", "P1Y", "P-1D", "p1d", "P1.5D", "P0D", "PT0S", "P1W2D"]
)
def test_what_has_no_fixed_length_or_none_at_all_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)
