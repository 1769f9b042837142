"""Reads Schedules and Slots, the times that a team offers, into rows (http://hl7.org/fhir/R4/slot.html)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

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
