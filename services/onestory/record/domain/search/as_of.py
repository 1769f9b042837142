"""The parameter `asOf`: the record as it was at a moment (docs/decisions/0009)."""

from __future__ import annotations

from datetime import datetime

from onestory.record.domain.search.question import AS_OF, Parameters, one
from onestory.shared.errors import Malformed
from onestory.shared.fhir.instants import format_instant, parse_instant


def as_of(parameters: Parameters, now: datetime) -> datetime | None:
    """The moment of which the record is asked, or None for the record as it is. Raises `Malformed`.

    It is a FHIR instant, or a dateTime with time and zone: a day alone could mean its beginning or its end, and a time
    without a zone is a different moment for each reader. A future moment is refused: what will be said before it would
    change the answer.
    """
    value = one(parameters, AS_OF)
    if value is None:
        return None
    try:
        # A plus sign that nobody escaped arrives as a space.
        moment = parse_instant(value.replace(" ", "+"))
    except ValueError as error:
        raise Malformed(
            f"{AS_OF} takes a moment with date, time and zone, such as 2026-11-22T09:00:00Z.", code="value"
        ) from error
    if moment > now:
        raise Malformed(f"{AS_OF} is in the future: it is {format_instant(now)} here.", code="value")
    return moment
