"""Lengths of time as people write them in settings (ISO 8601)."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(
    r"P(?=.)(?:(?P<weeks>\d{1,4})W|(?:(?P<days>\d{1,5})D)?"
    r"(?:T(?=.)(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,5})M)?(?:(?P<seconds>\d{1,7})S)?)?)"
)


def duration(text: str) -> timedelta:
    """`P1D`, `PT12H`, `P2W`, `P1DT6H`: longer than nothing; no months or years, which have no fixed length.

    Raises `ValueError`.
    """
    found = _DURATION.fullmatch(text)
    length = timedelta(**{unit: int(amount) for unit, amount in found.groupdict().items() if amount}) if found else None
    if not length:
        raise ValueError(f"{text!r} is no length of time in days, hours, minutes and seconds.")
    return length
