"""Working days are those of England, and their hours those of London."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onestory.referral.clocks.domain import end_of_working_day, is_working_day
from onestory.shared.fhir.dates import UK

FIVE = time(17)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - aware by `timezones`
NUMBERS = st.integers(1, 30)


@pytest.mark.parametrize(
    ("began", "number", "over"),
    [
        (datetime(2026, 11, 23, 9, tzinfo=UK), 1, datetime(2026, 11, 24, 17, tzinfo=UK)),
        (datetime(2026, 11, 27, 20, tzinfo=UK), 1, datetime(2026, 11, 30, 17, tzinfo=UK)),
        (datetime(2026, 11, 28, 11, tzinfo=UK), 2, datetime(2026, 12, 1, 17, tzinfo=UK)),
        (datetime(2026, 12, 24, 18, tzinfo=UK), 2, datetime(2026, 12, 30, 17, tzinfo=UK)),
        (datetime(2026, 3, 27, 16, tzinfo=UK), 1, datetime(2026, 3, 30, 17, tzinfo=UK)),
        (datetime(2026, 10, 23, 16, tzinfo=UK), 1, datetime(2026, 10, 26, 17, tzinfo=UK)),
        (datetime(2026, 4, 2, 9, tzinfo=UK), 1, datetime(2026, 4, 7, 17, tzinfo=UK)),
    ],
    ids=["a weekday", "Friday evening", "Saturday", "Christmas Eve", "into summer time", "out of it", "Easter"],
)
def test_a_wait_ends_with_the_right_working_day(began: datetime, number: int, over: datetime) -> None:
    assert end_of_working_day(began, number, FIVE) == over


def test_the_hour_is_that_of_london_in_summer_and_winter() -> None:
    winter = end_of_working_day(datetime(2026, 1, 12, 9, tzinfo=UTC), 1, FIVE)
    summer = end_of_working_day(datetime(2026, 7, 13, 9, tzinfo=UTC), 1, FIVE)

    assert (winter.hour, summer.hour) == (17, 16)


def test_the_day_is_that_of_london_too() -> None:
    # 23:30 UTC on Sunday is half past midnight on Monday in London.
    assert end_of_working_day(datetime(2026, 7, 12, 23, 30, tzinfo=UTC), 1, FIVE) == datetime(
        2026, 7, 14, 16, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "day", [date(2026, 12, 25), date(2026, 12, 28), date(2027, 12, 27), date(2026, 8, 31), date(2026, 11, 28)]
)
def test_nobody_is_expected_to_work_on_bank_holidays_and_at_the_weekend(day: date) -> None:
    assert not is_working_day(day)


def test_scottish_and_irish_bank_holidays_are_working_days_in_england() -> None:
    assert is_working_day(date(2026, 3, 17))
    assert is_working_day(date(2026, 11, 30))


@given(MOMENTS, MOMENTS, NUMBERS)
def test_what_begins_later_never_ends_earlier(one: datetime, other: datetime, number: int) -> None:
    first, second = sorted((one, other))

    assert end_of_working_day(first, number, FIVE) <= end_of_working_day(second, number, FIVE)


@given(MOMENTS, NUMBERS)
def test_so_many_working_days_lie_between(began: datetime, number: int) -> None:
    over = end_of_working_day(began, number, FIVE)

    first, last = began.astimezone(UK).date(), over.astimezone(UK).date()
    days = [first + timedelta(days=each) for each in range(1, (last - first).days + 1)]
    assert is_working_day(last)
    assert sum(map(is_working_day, days)) == number


@given(MOMENTS, NUMBERS)
def test_it_ends_at_the_end_of_a_day_that_is_to_come(began: datetime, number: int) -> None:
    over = end_of_working_day(began, number, FIVE)

    assert over > began
    assert over.astimezone(UK).time() == FIVE
