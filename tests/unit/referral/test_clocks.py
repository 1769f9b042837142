"""Clocks give the time until which the next actor of a referral has to act, and refuse settings of no use."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from tests.unit.referral.made import PHYSIO, SENT, after, doing, sent

from onestory.referral.clocks.clock import escalation_loop, load_clocks
from onestory.referral.clocks.domain import (
    BOOKED,
    KINDS,
    PRIORITIES,
    WAITING_STATUSES,
    WorkingDays,
    is_working_day,
)
from onestory.referral.lifecycle.decide import decide
from onestory.referral.lifecycle.model import ENDED, Action, Command, Reason, ReferralKind, Side, Status
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.dates import UK
from onestory.shared.kafka.codec import create_codec
from onestory.shared.settings import Settings

CLOCKS = load_clocks()
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - aware by `timezones`
WAITS = st.tuples(st.sampled_from(KINDS), st.sampled_from(PRIORITIES), st.sampled_from(WAITING_STATUSES))
FRIDAY_NIGHT = datetime(2026, 12, 18, 23, tzinfo=UTC)


def test_a_routine_referral_of_friday_evening_waits_until_tuesday_evening() -> None:
    due = CLOCKS.due("referral", "routine", "requested", FRIDAY_NIGHT)

    assert due == datetime(2026, 12, 22, 17, tzinfo=UK)


def test_what_is_urgent_does_not_wait_for_the_office_to_open() -> None:
    assert CLOCKS.due("referral", "urgent", "requested", FRIDAY_NIGHT) == FRIDAY_NIGHT + timedelta(hours=4)
    assert CLOCKS.due("referral", "stat", "requested", FRIDAY_NIGHT) == FRIDAY_NIGHT + timedelta(minutes=15)


def test_elapsed_time_is_not_changed_by_summer_time() -> None:
    before_the_change = datetime(2026, 3, 28, 23, tzinfo=UK)

    due = CLOCKS.due("referral", "asap", "accepted", before_the_change)

    assert due - before_the_change.astimezone(UTC) == timedelta(hours=8)


def test_every_state_that_somebody_has_to_end_has_a_clock() -> None:
    assert set(KINDS) == set(ReferralKind)
    assert set(WAITING_STATUSES) == set(Status) - ENDED
    states = (*WAITING_STATUSES, BOOKED)
    assert set(CLOCKS.waits) == {
        (kind, priority, state) for kind in KINDS for priority in PRIORITIES for state in states
    }


def test_a_hold_is_looked_at_when_the_holder_said() -> None:
    said = datetime(2026, 12, 22, 9, tzinfo=UTC)

    assert CLOCKS.due_on_hold("referral", "routine", said, FRIDAY_NIGHT) == said


def test_an_appointment_gives_the_time_of_the_state_from_then_on() -> None:
    in_six_weeks = SENT + timedelta(weeks=6)

    due = CLOCKS.due_after_appointment("referral", "routine", "accepted", in_six_weeks, SENT)

    assert due == CLOCKS.due("referral", "routine", "accepted", in_six_weeks)


def test_an_appointment_that_is_too_far_away_is_looked_at_before() -> None:
    in_two_years = SENT + timedelta(days=730)

    assert CLOCKS.due_after_appointment("referral", "routine", "accepted", in_two_years, SENT) == SENT + timedelta(
        days=126
    )
    assert CLOCKS.due_after_appointment("referral", "stat", "accepted", in_two_years, SENT) == SENT + timedelta(hours=4)


def test_who_books_has_until_after_the_appointment_and_who_begins_has_the_time_of_the_work() -> None:
    accepted = after(sent(), (Action.ACCEPT, Side.RECIPIENT))
    in_six_weeks = SENT + timedelta(weeks=6)
    book = Command(Action.BOOK, starts_at=in_six_weeks)

    booked = decide(accepted, book, {Side.RECIPIENT}, doing(party=PHYSIO), CLOCKS, lambda of, _: of.task_id).referral
    begun = after(booked, (Action.START, Side.RECIPIENT), at=in_six_weeks)

    assert booked.due_at == CLOCKS.due("referral", "routine", "accepted", in_six_weeks)
    assert (begun.until, begun.due_at) == (None, CLOCKS.due("referral", "routine", "in-progress", in_six_weeks))


@given(WAITS, MOMENTS, MOMENTS)
def test_an_appointment_never_takes_time_away_and_never_gives_more_than_its_limit(
    wait: tuple[str, str, str], at: datetime, appointment: datetime
) -> None:
    kind, priority, status = wait

    due = CLOCKS.due_after_appointment(kind, priority, status, appointment, at)

    assert CLOCKS.due(*wait, at) <= due <= max(CLOCKS.due(*wait, at), CLOCKS.due(kind, priority, BOOKED, at))


@pytest.mark.parametrize("said", [SENT + timedelta(days=9), SENT + timedelta(days=900), None])
def test_who_puts_a_referral_on_hold_says_until_when_within_the_clock_of_a_hold(said: datetime | None) -> None:
    working = after(sent(), (Action.ACCEPT, Side.RECIPIENT), (Action.START, Side.RECIPIENT))
    hold = Command(Action.HOLD, Reason("", {"text": "On holiday"}), until=said)

    held = decide(working, hold, {Side.RECIPIENT}, doing(party=PHYSIO), CLOCKS, lambda of, _: of.task_id).referral

    assert held.due_at == CLOCKS.due_on_hold("referral", "routine", said, SENT)


@pytest.mark.parametrize("said", [datetime(2028, 1, 1, tzinfo=UTC), None])
def test_no_hold_is_longer_than_the_clock_of_a_hold(said: datetime | None) -> None:
    latest = CLOCKS.due("referral", "routine", "on-hold", FRIDAY_NIGHT)

    assert CLOCKS.due_on_hold("referral", "routine", said, FRIDAY_NIGHT) == latest


def test_a_deployment_changes_what_it_names_and_nothing_else() -> None:
    changed = load_clocks('{"day-ends": "18:30", "referral": {"routine": {"requested": "3 working days"}}}')

    differing = {name for name, wait in changed.waits.items() if CLOCKS.waits[name] != wait}
    assert differing == {("referral", "routine", "requested")}
    assert changed.due("referral", "routine", "requested", FRIDAY_NIGHT) == datetime(2026, 12, 23, 18, 30, tzinfo=UK)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("{", "no JSON"),
        ("[]", "no table of day-ends, referral"),
        ('{"referal": {}}', "has referal; it can have"),
        ('{"referral": "P1D"}', "referral is no table of routine, urgent"),
        ('{"advice": {"routine": {"finished": "P1D"}}}', "advice.routine has finished"),
        ('{"day-ends": "25:00"}', "day-ends is '25:00'"),
        ('{"referral": {"routine": {"requested": "soon"}}}', "referral.routine.requested is 'soon'"),
        ('{"referral": {"routine": {"requested": null}}}', "referral.routine.requested is None"),
        ('{"referral": {"routine": {"requested": "0 working days"}}}', "0 working days"),
        ('{"advice": {"routine": {"draft": "P400D"}}}', "a wait is at most a year"),
        ('{"referral": {"stat": {"requested": "P3D"}}}', "longer wait than referral.asap.requested"),
        ('{"referral": {"urgent": {"accepted": "P11D"}}}', "longer wait than referral.routine.accepted"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_sentence(setting: str, said: str) -> None:
    with pytest.raises(Misconfigured, match="ONESTORY_REFERRAL_CLOCKS") as caught:
        load_clocks(setting)

    assert said in str(caught.value)


@pytest.mark.parametrize("setting", [{"referral_clocks": "{"}, {"referral_escalation": "nobody/at/all"}])
def test_the_clock_of_a_process_does_not_start_with_a_setting_that_cannot_be_used(setting: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="ONESTORY_REFERRAL"):
        escalation_loop(Settings(**setting), create_codec(""), CollectorRegistry(), threading.Event())  # type: ignore[arg-type]


@pytest.mark.parametrize("priority", ["urgent", "asap", "stat"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_urgent_may_rest_by_night_and_on_holidays(kind: str, priority: str) -> None:
    with pytest.raises(Misconfigured, match="only routine may have working days"):
        load_clocks(json.dumps({kind: {priority: {"requested": "1 working day"}}}))


@given(WAITS, MOMENTS, MOMENTS)
def test_what_begins_later_is_never_due_earlier(wait: tuple[str, str, str], one: datetime, other: datetime) -> None:
    first, second = sorted((one, other))

    assert CLOCKS.due(*wait, first) <= CLOCKS.due(*wait, second)


@given(WAITS, MOMENTS)
def test_nothing_is_due_when_it_begins_or_before(wait: tuple[str, str, str], at: datetime) -> None:
    assert CLOCKS.due(*wait, at) > at


@given(WAITS, MOMENTS)
def test_working_days_end_on_a_working_day(wait: tuple[str, str, str], at: datetime) -> None:
    due = CLOCKS.due(*wait, at)

    assert is_working_day(due.astimezone(UK).date()) or not isinstance(CLOCKS.waits[wait], WorkingDays)


@given(WAITS, MOMENTS, st.none() | MOMENTS)
def test_a_hold_never_outlasts_its_clock(wait: tuple[str, str, str], at: datetime, until: datetime | None) -> None:
    kind, priority, _ = wait

    assert CLOCKS.due_on_hold(kind, priority, until, at) <= CLOCKS.due(kind, priority, "on-hold", at)
