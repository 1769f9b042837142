"""Detached processes are found again, distinguished from other processes, and ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from onestory.local import processes, state
from onestory.shared.errors import Unavailable

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    state.prepare_home(tmp_path)
    yield tmp_path
    processes.stop(tmp_path, ["sleeper"], by=signal.SIGKILL)


def _await(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_started_process_is_found_again_and_stopped(home: Path) -> None:
    pid = processes.start(home, "sleeper", SLEEPER)

    found = processes.find(home, "sleeper")
    stopped = processes.stop(home, ["sleeper"])

    assert found is not None
    assert found.pid == pid
    assert stopped == ["sleeper"]
    assert not psutil.pid_exists(pid)


def test_a_pid_that_another_process_got_is_not_taken_for_ours_and_not_killed(home: Path) -> None:
    pid = processes.start(home, "sleeper", SLEEPER)
    somebody_else = home / "run" / "other.json"
    somebody_else.write_text(json.dumps({"pid": pid, "created": psutil.Process(pid).create_time() - 3600}))

    stopped = processes.stop(home, ["other"], by=signal.SIGKILL)

    assert stopped == []
    assert processes.find(home, "sleeper") is not None


def test_what_a_killed_process_leaves_behind_ends_with_it(home: Path) -> None:
    parent = f"import subprocess, time; print(subprocess.Popen({SLEEPER!r}).pid, flush=True); time.sleep(600)"
    pid = processes.start(home, "sleeper", [sys.executable, "-c", parent])
    _await(lambda: processes.log_file(home, "sleeper").read_text().strip() != "")
    child = int(processes.log_file(home, "sleeper").read_text())
    os.kill(pid, signal.SIGKILL)
    _await(lambda: processes.find(home, "sleeper") is None)

    processes.stop(home, ["sleeper"])

    _await(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_process_that_ignores_the_polite_signal_is_killed(home: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    pid = processes.start(home, "sleeper", [sys.executable, "-c", deaf])
    _await(lambda: "deaf" in processes.log_file(home, "sleeper").read_text())

    processes.stop(home, ["sleeper"], seconds=0.2)

    assert not psutil.pid_exists(pid)


def test_a_process_that_ends_while_it_starts_is_told_with_its_last_words(home: Path) -> None:
    processes.start(home, "sleeper", [sys.executable, "-c", "print('no such thing')"])

    with pytest.raises(Unavailable, match="no such thing"):
        processes.await_ready(home, "sleeper", lambda: False, 10)
