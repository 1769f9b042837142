"""Reads Schedules and Slots, the times that a team offers, into rows (http://hl7.org/fhir/R4/slot.html).

Also turns a FHIR Period (http://hl7.org/fhir/R4/datatypes.html#Period) into instants; its days are those of UK time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from onestory.referral.directory.model import (
    CurrentDirectoryStatement,
    Json,
    id_in_reference,
    identifier_in_reference,
    is_active,
)
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.identity import is_dos_service_system

_ENGLAND = ZoneInfo("Europe/London")
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")


class ScheduleRow(NamedTuple):
    """A row of `directory_schedule`: the teams that offer the times, by directory id or by DoS service id."""

    shared_id: str
    said_by: str
    team_ids: list[str]
    dos_service_ids: list[str]
    content: bytes
    active: bool


class SlotRow(NamedTuple):
    """A row of `directory_slot`."""

    shared_id: str
    said_by: str
    schedule_id: str
    status: str
    starts_at: datetime
    ends_at: datetime
    content: bytes
    active: bool


def schedule_row(statement: CurrentDirectoryStatement, resource: Json) -> ScheduleRow:
    """Return the row of a Schedule. Raises `Unprocessable` where `actor` names no team."""
    actors = resource.get("actor", [])
    teams = sorted({team for actor in actors if (team := id_in_reference(actor, "HealthcareService"))})
    dos_ids = sorted({dos_id for actor in actors if (dos_id := identifier_in_reference(actor, is_dos_service_system))})
    if not teams and not dos_ids:
        raise Unprocessable("actor names no team by reference or by DoS service id.", code="no-team")
    return ScheduleRow(
        statement.shared_id, statement.organisation, teams, dos_ids, statement.content, is_active(statement, resource)
    )


def slot_row(statement: CurrentDirectoryStatement, resource: Json) -> SlotRow:
    """Return the row of a Slot. Raises `Unprocessable` without a Schedule, or with impossible times."""
    schedule_id = id_in_reference(resource.get("schedule", {}), "Schedule")
    if not schedule_id:
        raise Unprocessable("schedule names no Schedule by reference.", code="no-schedule")
    try:
        starts_at, ends_at = parse_instant(resource["start"]), parse_instant(resource["end"])
    except ValueError as error:
        raise Unprocessable("Slot.start and Slot.end are not both valid instants.", code="content-form") from error
    if starts_at >= ends_at:
        raise Unprocessable("Slot.end is not after Slot.start.", code="content-form")
    is_asserted = statement.is_asserted and resource["status"] != "entered-in-error"
    return SlotRow(
        statement.shared_id,
        statement.organisation,
        schedule_id,
        resource["status"],
        starts_at,
        ends_at,
        statement.content,
        is_asserted,
    )


def period_start(period: Mapping[str, Any]) -> datetime | None:
    """Return the first instant of a Period; None where it has no start. Raises `Unprocessable`."""
    return _period_instant(period.get("start"), is_end=False)


def period_end(period: Mapping[str, Any]) -> datetime | None:
    """Return the first instant after a Period; None where it has no end. Raises `Unprocessable`.

    An end that is a day, month or year belongs to the Period as a whole.
    """
    return _period_instant(period.get("end"), is_end=True)


def _period_instant(text: str | None, *, is_end: bool) -> datetime | None:
    if text is None:
        return None
    try:
        match = _DATE.fullmatch(text)
        return _midnight_in_england(match, is_end) if match else parse_instant(text)
    except OverflowError:
        # The instant lies before or after the range of `datetime`: the Period is open at this side.
        return None
    except ValueError as error:
        raise Unprocessable("PractitionerRole.period has an invalid date.", code="content-form") from error


def _midnight_in_england(match: re.Match[str], is_end: bool) -> datetime:
    year, month, day = int(match[1]), match[2], match[3]
    first_day = date(year, int(month or 1), int(day or 1))
    if not is_end:
        day_of_midnight = first_day
    elif day:
        day_of_midnight = first_day + timedelta(days=1)
    elif month:
        day_of_midnight = (first_day.replace(day=28) + timedelta(days=4)).replace(day=1)
    elif year == date.max.year:
        raise OverflowError
    else:
        day_of_midnight = date(year + 1, 1, 1)
    return datetime(day_of_midnight.year, day_of_midnight.month, day_of_midnight.day, tzinfo=_ENGLAND).astimezone(UTC)
