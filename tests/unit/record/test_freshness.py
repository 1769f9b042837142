"""The freshness of a source: silence, missing numbers and parked messages. It covers only what the reader sees."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from onestory.record.freshness.domain import (
    Freshness,
    Rhythms,
    Source,
    SourceState,
    freshness,
    last_statement_times,
    next_stale_at,
    rhythm_of,
)

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
GP, WARD, CLINIC = ("A81001", "emis"), ("RX1", "ward"), ("RX1", "clinic")
RHYTHMS = {"A81001": timedelta(days=1), "RX1": timedelta(days=7), "RX1/ward": timedelta(hours=1)}


def ago(**amount: float) -> datetime:
    """The time that lies this long before now."""
    return NOW - timedelta(**amount)


def lines(
    *told: SourceState, said: dict[Source, datetime], rhythms: Rhythms = RHYTHMS, **former: date
) -> list[Freshness]:
    """The freshness lines that a reader is shown. The practice numbers its statements."""
    return freshness(told, said, NOW, rhythms=rhythms, sequenced=["A81001/emis"], former_practices=former)


def test_a_source_that_spoke_of_somebody_else_was_heard_of_though_it_said_nothing_of_this_person() -> None:
    (line,) = lines(SourceState(*GP, ago(hours=2), 0, 0), said={GP: ago(days=90)})

    assert (line.heard_at, line.last_statement_at, line.stale) == (ago(hours=2), ago(days=90), False)


def test_a_source_is_stale_once_it_was_silent_for_longer_than_is_expected_of_it() -> None:
    just_in_time, too_late = SourceState(*GP, ago(days=1), 0, 0), SourceState(*GP, ago(days=1, seconds=1), 0, 0)

    assert [line.stale for line in lines(just_in_time, said={GP: ago(days=90)})] == [False]
    assert [line.stale for line in lines(too_late, said={GP: ago(days=90)})] == [True]


def test_a_source_of_which_nothing_is_expected_is_never_stale() -> None:
    (line,) = lines(SourceState(*GP, ago(days=9000), 0, 0), said={GP: ago(days=9000)}, rhythms={})

    assert not line.stale


def test_a_system_has_its_own_rhythm_and_else_that_of_its_organisation() -> None:
    assert rhythm_of(WARD, RHYTHMS) == timedelta(hours=1)
    assert rhythm_of(CLINIC, RHYTHMS) == timedelta(days=7)
    assert rhythm_of(("RX2", "ward"), RHYTHMS) is None


def test_numbers_are_missing_only_of_a_source_that_says_that_its_numbers_have_no_holes() -> None:
    told = (SourceState(*GP, NOW, 2, 0), SourceState(*WARD, NOW, 5, 1))

    clerk, practice = sorted(lines(*told, said={GP: NOW, WARD: NOW}), key=lambda line: line.missing)

    assert (clerk.system, clerk.missing, clerk.parked) == ("ward", 0, 1)
    assert (practice.system, practice.missing, practice.parked) == ("emis", 2, 0)


def test_a_source_of_which_the_reader_sees_nothing_leaves_no_trace() -> None:
    hidden = SourceState(*WARD, ago(days=30), 4, 3)

    assert lines(SourceState(*GP, NOW, 0, 0), hidden, said={GP: NOW}, RX1=date(2020, 1, 1)) == lines(
        SourceState(*GP, NOW, 0, 0), said={GP: NOW}
    )


def test_of_a_source_known_from_replays_alone_it_counts_when_they_came() -> None:
    (line,) = lines(SourceState(*GP, None, 0, 0), said={GP: ago(days=3)})

    assert (line.heard_at, line.stale) == (ago(days=3), True)


def test_every_system_of_a_former_practice_is_labelled() -> None:
    found = lines(said={WARD: NOW, CLINIC: NOW, GP: NOW}, RX1=date(2026, 3, 1))

    assert [line.former_until for line in found] == [None, date(2026, 3, 1), date(2026, 3, 1)]


def test_the_lines_hold_until_the_first_source_has_been_silent_for_too_long() -> None:
    found = lines(
        SourceState(*GP, ago(hours=3), 0, 0),
        SourceState(*WARD, ago(hours=3), 0, 0),
        said={GP: NOW, WARD: NOW, CLINIC: NOW},
    )

    assert next_stale_at(found, RHYTHMS) == ago(hours=3) + timedelta(days=1)
    assert next_stale_at(found, {}) is None


def test_of_a_past_moment_only_that_is_told_which_is_certain() -> None:
    (line,) = lines(SourceState(*GP, NOW + timedelta(days=30), 0, 0), said={GP: ago(days=3)})

    assert (line.heard_at, line.stale) == (ago(days=3), False)


def test_a_broker_whose_clock_is_ahead_takes_no_source_for_silent() -> None:
    (line,) = lines(SourceState(*GP, NOW + timedelta(seconds=20), 0, 0), said={GP: ago(days=3)})

    assert line.heard_at == NOW + timedelta(seconds=20)


statements = st.lists(
    st.tuples(st.sampled_from([GP, WARD, CLINIC]), st.integers(0, 9).map(lambda days: ago(days=days))), min_size=1
)


@given(said=statements, order=st.randoms(use_true_random=False), told=st.permutations([GP, WARD, CLINIC]))
def test_order_and_repetition_change_nothing(
    said: list[tuple[Source, datetime]], order: random.Random, told: list[Source]
) -> None:
    known = [SourceState(*source, ago(days=2), 0, 0) for source in told]
    again = said + order.sample(said, len(said))
    order.shuffle(again)

    assert last_statement_times(again) == last_statement_times(said)
    assert lines(*known, said=last_statement_times(again)) == lines(*reversed(known), said=last_statement_times(said))
