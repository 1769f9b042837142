"""A FHIR Period (http://hl7.org/fhir/R4/datatypes.html#Period) as two moments. Days are those of England."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.instants import parse_instant

_ENGLAND = ZoneInfo("Europe/London")
_DAY = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")


def begins(period: Mapping[str, Any]) -> datetime | None:
    """The first moment of it; None: from ever. Raises `Unprocessable`."""
    return _moment(period.get("start"), after=False)


def ends(period: Mapping[str, Any]) -> datetime | None:
    """The first moment after it; None: for ever. A day, month or year is in it to its end. Raises `Unprocessable`."""
    return _moment(period.get("end"), after=True)


def _moment(told: str | None, *, after: bool) -> datetime | None:
    if told is None:
        return None
    try:
        match = _DAY.fullmatch(told)
        return _midnight(match, after) if match else parse_instant(told)
    except OverflowError:
        # Before or after all that a calendar holds.
        return None
    except ValueError as error:
        raise Unprocessable("Its period is not of this calendar.", code="content-form") from error


def _midnight(match: re.Match[str], after: bool) -> datetime:
    year, month, day = int(match[1]), match[2], match[3]
    first = date(year, int(month or 1), int(day or 1))
    if not after:
        following = first
    elif day:
        following = first + timedelta(days=1)
    elif month:
        following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    elif year == date.max.year:
        raise OverflowError
    else:
        following = date(year + 1, 1, 1)
    return datetime(following.year, following.month, following.day, tzinfo=_ENGLAND).astimezone(UTC)
