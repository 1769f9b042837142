"""Reads FHIR instants as aware UTC datetimes, and writes them (http://hl7.org/fhir/R4/datatypes.html#instant)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_INSTANT = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d):(?P<s>[0-5]\d|60)(?:\.(?P<fraction>\d+))?(?P<zone>Z|[+-]\d\d:\d\d)"
)


def parse_instant(text: str) -> datetime:
    """Return the instant in UTC with microseconds. Finer digits are cut off; second 60 counts as the next second.

    Raises `ValueError` for any text that is not an instant with a time zone.
    """
    match = _INSTANT.fullmatch(text)
    if not match:
        raise ValueError("not an instant")
    leap = match["s"] == "60"
    fraction = (match["fraction"] or "").ljust(6, "0")[:6]
    zone = "+00:00" if match["zone"] == "Z" else match["zone"]
    moment = datetime.fromisoformat(f"{match['second']}:{'59' if leap else match['s']}.{fraction}{zone}")
    try:
        return moment.astimezone(UTC) + timedelta(seconds=1 if leap else 0)
    except OverflowError as error:
        raise ValueError("outside the calendar") from error


def format_instant(moment: datetime) -> str:
    """Return a FHIR instant in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
