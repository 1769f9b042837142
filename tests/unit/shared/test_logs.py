"""The log filter removes NHS numbers and bytes that a log line must not hold."""

from __future__ import annotations

import logging

import pytest

from onestory.shared.logs import redact

NOT_ALLOWED = [
    "9990000018",
    "999 000 0018",
    "999-000-0018",
    "person 9990000018 moved",
    "(9990000018)",
    "nhs=9990000018,",
]
ALLOWED = [
    "2026-11-22",
    "0192f0c1-7e1a-7b3c-9a55-0242ac120002",
    "offset 1234567890123",
    "A81001",
    "12.5",
    "care.record",
]


@pytest.mark.parametrize("text", NOT_ALLOWED)
def test_an_nhs_number_in_any_shape_never_reaches_a_log_line(text: str) -> None:
    written = redact(logging.getLogger(), "info", {"event": "x", "a": text, "b": [text], "c": {"d": (text,)}})

    assert "000" not in str(written)


@pytest.mark.parametrize("text", ALLOWED)
def test_ids_dates_and_offsets_stay_readable(text: str) -> None:
    assert redact(logging.getLogger(), "info", {"event": text})["event"] == text


def test_bytes_never_reach_a_log_line() -> None:
    written = redact(logging.getLogger(), "info", {"event": "x", "body": b'{"resourceType":"Patient"}'})

    assert "Patient" not in str(written)
