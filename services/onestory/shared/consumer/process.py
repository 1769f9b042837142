"""The life of a process that consumes: stopped by signals, or loudly by what nobody foresaw."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from onestory.shared.errors import OneStoryError

log = structlog.get_logger()


def stop_on_signals() -> threading.Event:
    """Set by SIGTERM and SIGINT: finish what is at hand, then end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run_until_stopped(stop: threading.Event, main: Callable[[], None], *beside: Callable[[], None]) -> int:
    """Run `main` here and each of `beside` in a thread; when one ends, all do. The exit code is 0 unless one failed."""
    with ThreadPoolExecutor(max(1, len(beside)), thread_name_prefix="beside") as threads:
        running: list[Future[None]] = [threads.submit(each) for each in beside]
        for each in running:
            each.add_done_callback(lambda _: stop.set())
        failed = _failed(main)
        stop.set()
        for each in running:
            failed |= _failed(each.result)
    log.info("stopped", failed=failed)
    return int(failed)


def run_to_its_end(main: Callable[[], None]) -> int:
    """Run `main`, which stops by itself when it is asked to. The exit code is 0 unless it failed."""
    failed = _failed(main)
    log.info("stopped", failed=failed)
    return int(failed)


def _failed(run: Callable[[], None]) -> bool:
    try:
        run()
    except Exception as error:
        # Its text is only safe to print when it is ours: a library may quote what it stumbled over.
        known = {"because": error.issues[0].diagnostics} if isinstance(error, OneStoryError) else {}
        frames = traceback.extract_tb(error.__traceback__)
        at = [f"{frame.filename.rpartition('onestory/')[2]}:{frame.lineno}" for frame in frames]
        log.error("stopped_by_error", error=type(error).__name__, at=at, **known)
        return True
    return False
