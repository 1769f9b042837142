"""The progress of a publish: a bar on a terminal, and lines elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from onestory.client.report import ProgressBar, ProgressLines, RunTotals, progress_display


def test_a_pipe_gets_a_line_every_few_seconds() -> None:
    now = [0.0]
    stream = io.StringIO()
    lines = ProgressLines(stream, clock=lambda: now[0])

    with lines:
        for second in range(12):
            now[0] = float(second)
            lines.show(RunTotals(items=second), "")

    assert [line.split("  ")[0] for line in stream.getvalue().splitlines()] == ["5 items", "10 items"]


def test_a_terminal_gets_a_bar_that_says_why_it_stands_still() -> None:
    stream = io.StringIO()
    bar = ProgressBar(Console(file=stream, force_terminal=True, width=160), total_bytes=100)

    with bar:
        bar.show(RunTotals(items=3, bytes_read=50), "the server is not available")

    assert "3 items" in stream.getvalue()
    assert "50%" in stream.getvalue()
    assert "waiting: the server is not available" in stream.getvalue()


def test_what_is_no_terminal_gets_lines() -> None:
    assert isinstance(progress_display(io.StringIO(), 1), ProgressLines)
