"""Times that a team offers, as rows: FHIR R4 Schedule and Slot (http://hl7.org/fhir/R4/slot.html)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from onestory.referral.directory.model import DirectoryResource, Json, is_active, logical, referenced
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.identity import is_dos_service_system


class ListedSchedule(NamedTuple):
    """A row of `directory_schedule`: whose times they are, by directory or by DoS service id."""

    shared_id: str
    said_by: str
    team_ids: list[str]
    dos_service_ids: list[str]
    content: bytes
    active: bool


class ListedSlot(NamedTuple):
    """A row of `directory_slot`."""

    shared_id: str
    said_by: str
    schedule_id: str
    status: str
    starts_at: datetime
    ends_at: datetime
    content: bytes
    active: bool


def schedule(said: DirectoryResource, resource: Json) -> ListedSchedule:
    """Raises `Unprocessable` where it is no team's."""
    actors = resource.get("actor", [])
    teams = sorted({team for actor in actors if (team := referenced(actor, "HealthcareService"))})
    services = sorted({dos for actor in actors if (dos := logical(actor, is_dos_service_system))})
    if not teams and not services:
        raise Unprocessable("actor names no team by reference or by DoS service id.", code="no-team")
    return ListedSchedule(said.shared_id, said.said_by, teams, services, said.content, is_active(said, resource))


def slot(said: DirectoryResource, resource: Json) -> ListedSlot:
    """Raises `Unprocessable` where it is of no Schedule, or at no time."""
    schedule_id = referenced(resource.get("schedule", {}), "Schedule")
    if not schedule_id:
        raise Unprocessable("schedule names no Schedule by reference.", code="no-schedule")
    try:
        starts_at, ends_at = parse_instant(resource["start"]), parse_instant(resource["end"])
    except ValueError as error:
        raise Unprocessable("Its times are not of this calendar.", code="content-form") from error
    if starts_at >= ends_at:
        raise Unprocessable("It ends before it starts.", code="content-form")
    stands = said.stands and resource["status"] != "entered-in-error"
    return ListedSlot(
        said.shared_id, said.said_by, schedule_id, resource["status"], starts_at, ends_at, said.content, stands
    )


# A FHIR Period (http://hl7.org/fhir/R4/datatypes.html#Period) as two moments. Days are those of England.

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
