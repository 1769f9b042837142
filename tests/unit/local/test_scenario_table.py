"""The table of a scenario fails where one line differs from what was expected, and where nothing was checked."""

from __future__ import annotations

from onestory.local.scenarios.checks import CheckTable


def test_a_scenario_passes_only_if_every_check_does() -> None:
    table = CheckTable()
    assert not table.passed

    table.add("referrals lost", 0, 0)
    assert table.passed

    table.add("requesters told", 7, 6)
    assert not table.passed
    assert [line.split() for line in table.lines()] == [
        ["check", "expected", "seen"],
        ["ok", "referrals", "lost", "0", "0"],
        ["FAIL", "requesters", "told", "7", "6"],
        ["2", "checks,", "1", "failed."],
    ]


def test_a_long_line_is_cut() -> None:
    table = CheckTable()
    table.add("x" * 100, "y" * 100, True)

    assert "x" * 63 + "…" in table.lines()[1]
    assert "True" in table.lines()[1]
