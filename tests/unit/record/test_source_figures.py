"""The figures that an operator sees for each source: silence, staleness and missing numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from onestory.record.projector.metrics import SourceFigures, source_figures

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
RHYTHMS = {"A81001": timedelta(days=1), "RX1/ward": timedelta(hours=1)}
NUMBERED = ["X26/nems"]


def seconds_ago(seconds: int) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_a_system_that_settings_name_stands_for_itself() -> None:
    heard = [(("RX1", "ward"), seconds_ago(3601)), (("X26", "nems"), seconds_ago(5))]

    assert source_figures(heard, [(("X26", "nems"), 3)], NOW, RHYTHMS, NUMBERED) == {
        ("RX1", "ward"): SourceFigures(3601, stale=True),
        ("X26", "nems"): SourceFigures(5, missing=3),
    }


def test_a_name_that_a_publisher_chose_is_no_label() -> None:
    heard = [(("RX1", "9990000018"), seconds_ago(60)), (("RX1", "Quillfeather"), seconds_ago(30))]

    assert source_figures(heard, [], NOW, RHYTHMS, NUMBERED) == {("RX1", ""): SourceFigures(30)}


def test_of_several_systems_one_that_is_silent_too_long_makes_the_organisation_stale() -> None:
    heard = [(("A81001", "emis"), seconds_ago(60)), (("A81001", "docman"), seconds_ago(100_000))]

    for order in (heard, heard[::-1]):
        assert source_figures(order, [], NOW, RHYTHMS, NUMBERED) == {("A81001", ""): SourceFigures(60, stale=True)}


def test_numbers_are_missing_only_of_those_that_say_that_theirs_have_no_holes() -> None:
    heard = [(("RX1", "ward"), NOW), (("X26", "nems"), NOW)]

    found = source_figures(heard, [(("RX1", "ward"), 7)], NOW, RHYTHMS, NUMBERED)

    assert found == {("RX1", "ward"): SourceFigures(0, stale=False), ("X26", "nems"): SourceFigures(0, missing=0)}
