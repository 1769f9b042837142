"""Starts detached processes, finds them again by pid and start time, waits for them and stops them.

`interrupt_once` makes the first Ctrl-C of a command the only one, so that its clean-up is not interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from onestory.shared.errors import Unavailable

try:
    import psutil
except ImportError:  # `state.require_packages` reports it before any function here is called.
    psutil = None  # type: ignore[assignment]

SAME_START_S = 1.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that a process runs as, when it is not the caller's."""

    uid: int
    gid: int

    def options(self) -> dict[str, Any]:
        """Arguments for `subprocess`. The directory is the root, as the account may not reach the current one."""
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "cwd": "/"}


def start(
    home: Path,
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
) -> int:
    """Start a process that outlives this one; its output is appended to `logs/<name>.log`. Returns its pid."""
    with log_file(home, name).open("ab") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            **(account.options() if account else {"cwd": home}),
        )
    # It shall outlive this process. Without this, Popen warns that it was not waited for.
    child.returncode = 0
    identity = {"pid": child.pid, "created": psutil.Process(child.pid).create_time()}
    (home / "run" / f"{name}.json").write_text(json.dumps(identity))
    return child.pid


def log_file(home: Path, name: str) -> Path:
    """The log file of a process."""
    return home / "logs" / f"{name}.log"


def find(home: Path, name: str) -> psutil.Process | None:
    """The process that was started under this name, or None when it has ended. A reused pid is not taken for it."""
    identity = _identity(home, name)
    if identity is None:
        return None
    try:
        process = psutil.Process(identity[0])
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process if abs(process.create_time() - identity[1]) < SAME_START_S else None
    except psutil.NoSuchProcess:
        return None


def memory_mb(process: psutil.Process) -> float:
    """The memory of a process and its children in MB. Shared pages count once where the system reports it (PSS)."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            memory = member.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return round(total / 1_000_000, 1)


def await_ready(home: Path, name: str, probe: Callable[[], bool], seconds: float) -> None:
    """Return when `probe` is true. Raises `Unavailable` when the process ends first, or after `seconds`."""
    deadline = time.monotonic() + seconds
    while not probe():
        if find(home, name) is None:
            raise Unavailable(f"{name} ended while it started: {last_line(home, name)}")
        if time.monotonic() > deadline:
            raise Unavailable(f"{name} was not ready within {seconds:.0f} s; its log is {log_file(home, name)}.")
        time.sleep(POLL_S)


def last_line(home: Path, name: str) -> str:
    """The last line that a process wrote, and the path of its log: it shows why the process ended."""
    log = log_file(home, name)
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"{lines[-1][:300] if lines else 'it wrote nothing'} (log: {log})"


def stop(home: Path, names: Iterable[str], *, by: signal.Signals = signal.SIGTERM, seconds: float = 20.0) -> list[str]:
    """Send the signal `by` to the named processes, and kill their sessions after `seconds`.

    Returns the names of the processes that ran.
    """
    running = []
    members: list[psutil.Process] = []
    for name in names:
        leader = find(home, name)
        members += _session(home, name)
        if leader is not None:
            running.append(name)
            with contextlib.suppress(psutil.NoSuchProcess):
                leader.send_signal(by)
    _, remaining = psutil.wait_procs(members, timeout=seconds if running else 0)
    kill(remaining)
    for name in names:
        (home / "run" / f"{name}.json").unlink(missing_ok=True)
    return running


def kill(members: Sequence[psutil.Process]) -> None:
    """Kill these processes; return when they have ended, after 10 s at the latest."""
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(members, timeout=10)


def find_by_title(name: str, title: str) -> list[psutil.Process]:
    """The processes of this program name with `title` in their command line, which every account may read."""
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == name and title in " ".join(process.info["cmdline"] or ())
    ]


def _identity(home: Path, name: str) -> tuple[int, float] | None:
    try:
        content = json.loads((home / "run" / f"{name}.json").read_text())
        return int(content["pid"]), float(content["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _session(home: Path, name: str) -> list[psutil.Process]:
    """All running processes in the session of the named process, also when that process itself has ended."""
    identity = _identity(home, name)
    if identity is None:
        return []
    pid, created = identity
    if find(home, name) is None and psutil.pid_exists(pid) and not _is_zombie(pid):
        return []  # the pid belongs to another process now, and the session may too
    return [process for process in psutil.process_iter(["create_time"]) if _in_session(process, pid, created)]


def _in_session(process: psutil.Process, session: int, created: float) -> bool:
    try:
        return os.getsid(process.pid) == session and process.create_time() > created - SAME_START_S
    except (OSError, psutil.Error):
        return False


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def interrupt_once() -> None:
    """From now on the first Ctrl-C or SIGTERM raises `KeyboardInterrupt`; later ones are ignored."""
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
