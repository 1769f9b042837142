"""When a source recorded what it says; never a clinical date."""

from __future__ import annotations

from datetime import datetime, timedelta

from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.instants import parse_instant

# Clocks of publishers run ahead by as much without harm; more, and what they say next could not correct it.
TOLERANCE = timedelta(minutes=5)


def recorded_at(instant: str | None, path: str, received_at: datetime) -> datetime | None:
    """The moment, or None where none is given. Raises `Unprocessable` for one in the future or in no calendar."""
    if instant is None:
        return None
    try:
        moment = parse_instant(instant)
    except ValueError as error:
        says = "This is no moment of the calendar: send date, time and time zone."
        raise Unprocessable(says, code="value", expression=path) from error
    if moment > received_at + TOLERANCE:
        says = "This lies in the future by more than five minutes: send when it was recorded, and check the clock."
        raise Unprocessable(says, code="value", expression=path)
    return moment
