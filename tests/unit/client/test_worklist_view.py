"""The client shows a worklist on the terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from onestory.client.worklist_view import WorklistTable

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NURSES = {"organisation": "RZ1", "organisationName": "", "team": "t", "teamName": "District nursing"}
PRACTICE = {"organisation": "A81001", "organisationName": "Harbour Surgery", "team": "", "teamName": ""}


def row(name: str, priority: str = "urgent", due: timedelta = timedelta(hours=2), **more: Any) -> dict[str, Any]:
    return {
        "referral": name,
        "person": {"system": "s", "value": "9990000018"},
        "kind": "referral",
        "priority": priority,
        "status": "requested",
        "code": "Wound care",
        "reason": name,
        "requester": PRACTICE,
        "holder": PRACTICE,
        "yourTurn": True,
        "claimedBy": None,
        "escalatedAt": None,
        "dueAt": (NOW + due).isoformat(),
        **more,
    }


def shown(board: WorklistTable, *, colour: bool = False) -> str:
    written = io.StringIO()
    Console(file=written, width=200, force_terminal=colour, color_system="standard" if colour else None).print(board)
    return written.getvalue()


def test_rows_are_shown_by_urgency_with_what_is_overdue_counted() -> None:
    board = WorklistTable("Nurses", lambda: NOW)
    board.load({"rows": [row("calm", "routine"), row("late", due=timedelta(days=-1)), row("soon"), row("now", "stat")]})

    said = shown(board)

    assert "Nurses: 4 open, 1 overdue, 4 unclaimed" in said
    assert [said.index(name) for name in ("now", "late", "soon", "calm")] == sorted(
        said.index(name) for name in ("now", "late", "soon", "calm")
    )
    assert "1 d 0 h over" in said
    assert "Harbour Surgery" in said


def test_what_is_overdue_is_red() -> None:
    board = WorklistTable("Nurses", lambda: NOW)
    board.load({"rows": [row("late", due=timedelta(minutes=-1)), row("soon")]})

    lines = shown(board, colour=True).splitlines()

    (late,) = [line for line in lines if "late" in line]
    (soon,) = [line for line in lines if "soon" in line]
    assert "\x1b[1;31m" in late
    assert "\x1b[1;31m" not in soon


def test_events_change_the_rows() -> None:
    board = WorklistTable("Nurses", lambda: NOW)
    board.load({"rows": [row("a"), row("b")]})

    board.apply("changed", row("c", "stat"))
    board.apply("changed", row("a", claimedBy={"user": "u-1", "name": "Ngozi Okafor"}))
    board.apply("gone", {"referral": "b", "reason": "completed"})
    board.apply("gone", {"referral": "unknown", "reason": "completed"})

    assert [each["referral"] for each in board.rows] == ["c", "a"]
    assert "Ngozi Okafor" in shown(board)


def test_text_of_others_is_shown_as_it_is() -> None:
    board = WorklistTable("[red]Nurses", lambda: NOW)
    board.load({"rows": [row("[bold]x[/bold]", kind="advice")]})

    assert "[advice] Wound care: [bold]x[/bold]" in shown(board)
    assert "[red]Nurses" in shown(board)


def test_a_list_that_is_old_says_so() -> None:
    board = WorklistTable("Nurses", lambda: NOW)

    board.apply("late", {"seconds": 90})
    old = shown(board)
    board.apply("late", {"seconds": 0})

    assert "No changes arrive: this list may be 90 s old" in " ".join(old.split())
    assert "No changes arrive" not in shown(board)
