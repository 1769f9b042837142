"""Times that a team offers, as rows: FHIR R4 Schedule and Slot (http://hl7.org/fhir/R4/slot.html)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from onestory.referral.domain.said import Json, Said, is_active, logical, referenced
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.instants import parse_instant
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


def schedule(said: Said, resource: Json) -> ListedSchedule:
    """Raises `Unprocessable` where it is no team's."""
    actors = resource.get("actor", [])
    teams = sorted({team for actor in actors if (team := referenced(actor, "HealthcareService"))})
    services = sorted({dos for actor in actors if (dos := logical(actor, is_dos_service_system))})
    if not teams and not services:
        raise Unprocessable("actor names no team by reference or by DoS service id.", code="no-team")
    return ListedSchedule(said.shared_id, said.said_by, teams, services, said.content, is_active(said, resource))


def slot(said: Said, resource: Json) -> ListedSlot:
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
