"""`make test`: everything that CI runs, on two cores.

Tests that need a stack run in parallel workers, each with its own stack. At the same time the checks of style and types
and the unit and contract tests run, one after the other. Each step is reported when it ends. The exit code is 0 when
all have passed, 1 when one has failed, and 130 when the run was interrupted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests import skipped

ROOT = Path(__file__).parents[1]
PYTEST = [sys.executable, "-m", "pytest"]
WORKERS = "3"
INTERRUPTED = 130
SECONDS_TO_STOP = 90.0


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    A `live` step shows its output at once. Another step shows its output when it fails, else only the `quoted` lines.
    """

    name: str
    command: Sequence[str]
    live: bool = False
    quoted: tuple[str, ...] = ()
    """Lines of the output that begin with one of these texts are shown when the step passes, too."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a step. `tests` is empty for a step that does not run tests."""

    step: Step
    exit_code: int
    seconds: float
    tests: str
    skipped: Counter[str]
    interrupted: bool = False

    def line(self) -> str:
        """One line of text about the result, for a person."""
        failed = "interrupted" if self.interrupted else f"FAILED (exit code {self.exit_code})"
        verdict = "passed" if self.exit_code == 0 else failed
        return f"{self.step.name:<26}{verdict:<24}{self.seconds:5.0f} s  {self.tests}".rstrip()


class Run:
    """The steps of one run. `interrupt` ends all of them, and each step cleans up after itself."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self.interrupted = threading.Event()

    def all(self, *lanes: Sequence[Step]) -> list[Outcome]:
        """Run these lanes at once. The steps of a lane run one after the other, even after one of them failed."""
        with ThreadPoolExecutor(len(lanes)) as threads:
            ended = [threads.submit(self._lane, lane) for lane in lanes]
            return [outcome for lane in ended for outcome in lane.result()]

    def interrupt(self, *_: object) -> None:
        """Send SIGINT to every step, as Ctrl-C does, and kill what is left later. A second call changes nothing."""
        if self.interrupted.is_set():
            return
        self.interrupted.set()
        with self._lock:
            for process in self._running:
                _signal(process, signal.SIGINT)
        threading.Thread(target=self._kill_later, daemon=True).start()

    def _kill_later(self) -> None:
        time.sleep(SECONDS_TO_STOP)
        with self._lock:
            for process in self._running:
                _signal(process, signal.SIGKILL)

    def _lane(self, steps: Sequence[Step]) -> list[Outcome]:
        return [self._step(step) for step in steps if not self.interrupted.is_set()]

    def _step(self, step: Step) -> Outcome:
        began, report = time.monotonic(), self._results / f"{step.name}.xml"
        command = [*step.command, f"--junitxml={report}"] if step.command[: len(PYTEST)] == PYTEST else step.command
        output = None if step.live else (self._results / f"{step.name}.log").open("w+b")
        with self._lock:
            # Each step has its own process group, so the terminal's Ctrl-C reaches it once, through `interrupt`.
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT if output else None, process_group=0
            )
            self._running.add(process)
        if self.interrupted.is_set():
            _signal(process, signal.SIGINT)
        exit_code = process.wait()
        with self._lock:
            self._running.discard(process)
        outcome = Outcome(step, exit_code, time.monotonic() - began, *_tests(report), self.interrupted.is_set())
        if output is not None:
            with output:
                output.seek(0)
                failed = exit_code != 0 and not self.interrupted.is_set()
                written = output.read().decode(errors="replace")
            quoted = [line + "\n" for line in written.splitlines() if line.startswith(step.quoted or "\0")]
            print(f"\n{written if failed else ''.join(quoted)}{outcome.line()}", flush=True)
        return outcome


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a step and to every process in its process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _tests(report: Path) -> tuple[str, Counter[str]]:
    """The figures of a test run as text, and the number of skipped tests by reason."""
    if not report.exists():
        return "", Counter()
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))  # noqa: S314 - our own file
    figures = {name: sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors")}
    reasons = Counter(_skipped(suites))
    told = f"{figures['tests']} tests, {figures['failures'] + figures['errors']} failed, {reasons.total()} skipped"
    return told, reasons


def _skipped(suites: Sequence[ElementTree.Element]) -> Iterator[str]:
    for suite in suites:
        for each in suite.iter("skipped"):
            yield skipped.reason_of(each.get("message", ""))


@contextmanager
def results_folder() -> Iterator[Path]:
    """The folder for JUnit reports and logs: the one that the caller names, or a temporary one."""
    if named := os.environ.get("ONESTORY_TEST_RESULTS"):
        folder = Path(named).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.xml"):
            old.unlink()
        yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="onestory-results-") as temporary:
            yield Path(temporary)


def main() -> int:
    """Run everything, print the result of each step, and return the exit code."""
    stack = [
        Step(
            "stack tests",
            [*PYTEST, "-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder", "tests/integration", "tests/e2e"],
            live=True,
        )
    ]
    beside = [
        Step(
            "style",
            ["make", "--no-print-directory", "lint"],
            quoted=("Dependency audit:", "Secrets scan:"),
        ),
        Step("types", ["make", "--no-print-directory", "types"]),
        Step("unit and contract tests", [*PYTEST, "tests/unit", "tests/contract"]),
    ]
    began = time.monotonic()
    with results_folder() as results:
        run = Run(results)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, run.interrupt)
        outcomes = run.all(stack, beside)
    print("\n")
    for outcome in outcomes:
        print(outcome.line())
    print(f"{'all':<50}{time.monotonic() - began:5.0f} s")
    print(skipped.line(sum((outcome.skipped for outcome in outcomes), Counter[str]())))
    if run.interrupted.is_set():
        print("Interrupted.")
        return INTERRUPTED
    return int(any(outcome.exit_code != 0 for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
