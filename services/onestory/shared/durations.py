"""Reads durations (ISO 8601)."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(
    r"P(?=.)(?:(?P<weeks>\d{1,4})W|(?:(?P<days>\d{1,5})D)?"
    r"(?:T(?=.)(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,5})M)?(?:(?P<seconds>\d{1,7})S)?)?)"
)


def parse_duration(text: str) -> timedelta:
    """Return an ISO 8601 duration such as `P1D`, `PT12H`, `P2W` or `P1DT6H`.

    Raises `ValueError` for zero, and for months and years, which have no fixed length.
    """
    match = _DURATION.fullmatch(text)
    length = timedelta(**{unit: int(amount) for unit, amount in match.groupdict().items() if amount}) if match else None
    if not length:
        raise ValueError(f"{text!r} is no duration in weeks, days, hours, minutes and seconds (ISO 8601).")
    return length
