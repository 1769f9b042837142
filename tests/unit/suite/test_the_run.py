"""`make test` itself: parallel lanes, a report of each step, an end of all steps on interruption, and `alone` tests."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests import skipped
from tests.run import Run, Step
from tests.turns import turn
from tests.waiting import until


def python(name: str, code: str) -> Step:
    """A step that runs this Python code."""
    return Step(name, [sys.executable, "-c", code])


def meets(mine: Path, other: Path) -> str:
    """Python code that ends once the other step has begun."""
    return (
        f"import pathlib, time\npathlib.Path({str(mine)!r}).touch()\n"
        f"while not pathlib.Path({str(other)!r}).exists(): time.sleep(0.01)"
    )


def test_lanes_run_at_once_and_each_step_is_reported(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"

    outcomes = Run(tmp_path).all(
        [python("first", meets(one, other))], [python("second", meets(other, one)), python("third", "")]
    )

    assert [(each.step.name, each.exit_code) for each in outcomes] == [("first", 0), ("second", 0), ("third", 0)]


def test_a_step_that_fails_shows_its_output_and_the_others_still_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = [python("bad", "print('the reason'); raise SystemExit(3)"), python("good", "print('not shown')")]

    outcomes = Run(tmp_path).all(steps)

    assert [each.exit_code for each in outcomes] == [3, 0]
    shown = capfd.readouterr().out
    assert "the reason" in shown
    assert "not shown" not in shown
    assert "FAILED (exit code 3)" in outcomes[0].line()


def test_an_interruption_ends_every_step_with_its_own_cleaning_up(tmp_path: Path) -> None:
    begun, cleaned = tmp_path / "begun", tmp_path / "cleaned"
    run = Run(tmp_path)
    waits = (
        "import pathlib, time\n"
        f"try:\n  pathlib.Path({str(begun)!r}).touch()\n  time.sleep(600)\n"
        f"finally:\n  pathlib.Path({str(cleaned)!r}).touch()"
    )

    with ThreadPoolExecutor(1) as beside:
        steps = [python("long", waits), python("never", f"open({str(tmp_path / 'x')!r}, 'w')")]
        running = beside.submit(run.all, steps)
        until(begun.exists)
        run.interrupt()
        (outcome,) = running.result(60)

    assert cleaned.exists()
    assert not (tmp_path / "x").exists()
    assert "interrupted" in outcome.line()


def test_a_test_that_is_alone_waits_for_the_others_and_they_for_it(tmp_path: Path) -> None:
    at_work: set[str] = set()
    together: list[frozenset[str]] = []
    may_end = threading.Event()

    def work(name: str, alone: bool) -> None:
        with turn(tmp_path, alone):
            at_work.add(name)
            if not alone:
                may_end.wait(30)
            together.append(frozenset(at_work))
            at_work.remove(name)

    with ThreadPoolExecutor(6) as threads:
        shared = [threads.submit(work, f"shared {number}", False) for number in range(2)]
        until(lambda: len(at_work) == 2)
        others = [threads.submit(work, f"alone {number}", True) for number in range(4)]
        may_end.set()
        for each in [*shared, *others]:
            each.result(60)

    assert all(len(each) == 1 for each in together if any(name.startswith("alone") for name in each))


def test_the_line_of_skipped_tests_counts_them_by_reason() -> None:
    assert skipped.line({}) == "Skipped: none."
    line = skipped.line(Counter({"needs a JDK": 81, "needs ../shared": 733}))
    assert line == "Skipped: 814 tests (733: needs ../shared; 81: needs a JDK)."
