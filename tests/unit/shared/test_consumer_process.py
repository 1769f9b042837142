"""A consuming process: any end of one part ends all parts, and the error report holds no message content."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from structlog.testing import capture_logs

from onestory.shared.errors import Misconfigured
from onestory.shared.kafka.loop import run_until_stopped


def test_stopping_is_success() -> None:
    stop = threading.Event()
    stop.set()

    assert run_until_stopped(stop, lambda: None, lambda: None) == 0


def test_an_unforeseen_error_stops_the_rest_and_its_text_is_not_printed() -> None:
    stop = threading.Event()

    def fail() -> None:
        raise RuntimeError("999 000 0018 Amina Okafor")

    with capture_logs() as logs:
        code = run_until_stopped(stop, fail, partial(_wait, stop))

    assert code == 1
    (line,) = [line for line in logs if line["event"] == "stopped_by_error"]
    assert line["error"] == "RuntimeError"
    assert "Okafor" not in str(logs)


@pytest.mark.parametrize("place", [0, 1])
def test_what_runs_beside_stops_everything_when_it_fails(place: int) -> None:
    stop = threading.Event()

    def fail() -> None:
        raise Misconfigured("Set another port.")

    with capture_logs() as logs:
        beside = [partial(_wait, stop), partial(_wait, stop)]
        beside[place] = partial(fail)
        code = run_until_stopped(stop, partial(_wait, stop), *beside)

    assert code == 1
    assert [line["because"] for line in logs if line["event"] == "stopped_by_error"] == ["Set another port."]


def _wait(stop: threading.Event) -> None:
    stop.wait()
