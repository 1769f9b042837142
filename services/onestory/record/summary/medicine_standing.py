"""Decides how a medicine stands: to be given, when required, a course, paused, lapsed, stopped; and until when.

A course ends at its stated end, or after its stated duration. A repeat ends only if its source says so: when its
authorisation has ended it is `LAPSED`. A missing date is taken as late as possible, so a medicine is shown too long
rather than too short.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from onestory.record.medicines.own_stops import own_stop
from onestory.record.merge.model import Statement
from onestory.record.summary.conflict_words import is_own_practice
from onestory.record.summary.dates import months_after
from onestory.record.summary.medicine_courses import (
    Supply,
    course_end,
    course_kinds,
    durations,
    is_acute,
    is_continuous,
    last_end,
    latest_time,
    limited_supply,
    starts_at,
    supplied_days,
    supply_end,
    written_end,
)
from onestory.record.summary.medicine_words import all_words, is_infusion, is_when_required, standing_words
from onestory.record.summary.model import SummaryRecord, end_of_day
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.dates import NEVER
from onestory.shared.fhir.json import text_at

FORBIDDEN = "DO NOT GIVE"
REPEAT = "Regular"
WHEN_REQUIRED = "When required"
COURSE = "Courses (acute)"
SUPPLIED = "Supplied or given; matched to no current prescription"
ANTICIPATORY = "Anticipatory: kept just in case, not started"
INFUSION = "Syringe driver or continuous infusion"
PAUSED = "Paused"
UNSURE = "Planned, or not known if taken"
LAPSED = "Authorisation or supply ended, or not issued lately"
FORMER = "Repeats of a former practice: not known to be current"
STOPPED = "Stopped or ended, or not taken"
GROUPS = (
    FORBIDDEN,
    REPEAT,
    WHEN_REQUIRED,
    COURSE,
    SUPPLIED,
    ANTICIPATORY,
    INFUSION,
    PAUSED,
    UNSURE,
    LAPSED,
    FORMER,
    STOPPED,
)
"""In the order in which they are shown."""
CURRENT = (REPEAT, WHEN_REQUIRED, COURSE, SUPPLIED, INFUSION)
"""The groups of medicines that are taken now."""
SUPPLIES = ("MedicationDispense", "MedicationAdministration")
MEDICINE_ORDERS = ("MedicationRequest", "MedicationStatement")

_STOPPED_MONTHS = 6
_ACUTE_MONTHS = 12
_OVER_STATUSES = {"stopped", "cancelled", "not-taken", "not-done", "declined"}
_UNSURE_STATUSES = {"draft", "intended", "unknown", "preparation"}
_UNSURE_INTENTS = {"proposal", "option"}


class MedicineStatus(NamedTuple):
    """The group that a medicine is shown in, the time until which it is, and when it ended, if that is known."""

    group: str
    until: datetime
    ended: datetime | None = None


_PAUSED = MedicineStatus(PAUSED, NEVER)


def medicine_status(record: SummaryRecord, statement: Statement) -> MedicineStatus:
    """How a medicine stands by one statement, and by whether its source is still the person's practice."""
    statuses = record.once(_statuses)
    if statement.shared_id not in statuses:
        statuses[statement.shared_id] = _status(record, statement)
    return statuses[statement.shared_id]


def _statuses(_record: SummaryRecord) -> dict[str, MedicineStatus]:
    """How the medicines of a record stand, by the shared id of a statement, as far as that was asked."""
    return {}


def _status(record: SummaryRecord, statement: Statement) -> MedicineStatus:
    content, at = statement.content, record.at
    if content.get("doNotPerform") is True:
        return MedicineStatus(FORBIDDEN, NEVER)
    stop = own_stop(content)
    status = stop.status if stop else text_at(content, "status")
    if status == "on-hold":
        # A supply that waits, for stock or for an answer, pauses nothing.
        waits = statement.resource_type == "MedicationDispense"
        return MedicineStatus(UNSURE, months_after(statement.recorded_at, _ACUTE_MONTHS)) if waits else _PAUSED
    if stop and text_at(content, "status") == "active":
        # Its source still sends it as one that goes on: it stays in sight.
        return MedicineStatus(STOPPED, NEVER, last_end(content, at))
    if stop or status in _OVER_STATUSES:
        return MedicineStatus(STOPPED, _stopped_until(record, statement), last_end(content, at))
    year = months_after(latest_time(content, statement.recorded_at), _ACUTE_MONTHS)
    if status in _UNSURE_STATUSES or text_at(content, "intent") in _UNSURE_INTENTS:
        return MedicineStatus(UNSURE, year)
    if content.get("resourceType") in SUPPLIES:
        return _supply_status(statement, at)
    end = course_end(content)
    if end and end <= at:
        acute = not is_continuous(content)
        return MedicineStatus(STOPPED, year if acute else months_after(end, _STOPPED_MONTHS), end)
    if is_acute(content):
        return MedicineStatus(COURSE, min(year, end or NEVER))
    if status == "completed" and not _is_supplied_order(content):
        return MedicineStatus(STOPPED, _stopped_until(record, statement), last_end(content, at))
    return _going_on(record, statement, end)


def _going_on(record: SummaryRecord, statement: Statement, end: datetime | None) -> MedicineStatus:
    content, at = statement.content, record.at
    if until := record.former_until(statement):
        return MedicineStatus(FORMER, months_after(end_of_day(until), _STOPPED_MONTHS))
    words = all_words(content)
    if standing_words().anticipatory.search(words):
        return MedicineStatus(ANTICIPATORY, end or NEVER)
    if is_infusion(content, words):
        return MedicineStatus(INFUSION, end or NEVER)
    authorised = supply_end(content)
    if authorised and authorised <= at:
        return MedicineStatus(LAPSED, months_after(authorised, _ACUTE_MONTHS * 2), authorised)
    if text_at(content, "status") == "completed":
        supplied = months_after(latest_time(content, statement.recorded_at), standing_words().supplied_months)
        return MedicineStatus(REPEAT if supplied > at else LAPSED, supplied if supplied > at else NEVER)
    if (starts := starts_at(content)) and starts > at:
        return MedicineStatus(UNSURE, starts)
    supply = short_supply(record, statement)
    if supply and supply.end <= at:
        return MedicineStatus(LAPSED, months_after(supply.end, _ACUTE_MONTHS))
    until_then = min(end or NEVER, authorised or NEVER, supply.end if supply else NEVER)
    if is_when_required(content):
        return MedicineStatus(WHEN_REQUIRED, until_then)
    if end and not is_continuous(content) and (durations(content) or written_end(content)):
        return MedicineStatus(COURSE, end)
    if supply and supply.length <= standing_words().course_supply and not is_own_practice(record, statement):
        return MedicineStatus(COURSE, until_then)
    return MedicineStatus(REPEAT, until_then)


def short_supply(record: SummaryRecord, statement: Statement) -> Supply | None:
    """The supply of a few days or weeks of which nobody says whether the medicine goes on; None if there is none.

    A practice issues its repeats by the month: only a shorter supply of it counts.
    """
    supply, words = limited_supply(statement.content), standing_words()
    if supply is None:
        return None
    longest = words.practice_supply if is_own_practice(record, statement) else words.other_supply
    return supply if supply.length <= longest else None


def _supply_status(statement: Statement, at: datetime) -> MedicineStatus:
    """A dispense or an administration: shown while it may still be taken, then as lapsed."""
    supplied = latest_time(statement.content, statement.recorded_at)
    if text_at(statement.content, "status") == "in-progress" and is_infusion(
        statement.content, all_words(statement.content)
    ):
        return MedicineStatus(INFUSION, months_after(supplied, standing_words().supplied_months))
    days = supplied_days(statement.content)
    course = max(durations(statement.content), default=days if days <= standing_words().course_supply.days else 0.0)
    if course and supplied + timedelta(days=course) <= at:
        return MedicineStatus(LAPSED, months_after(supplied, _ACUTE_MONTHS), supplied)
    name = name_of(statement.content).casefold()
    acts = next((months for word, months in standing_words().in_place_months.items() if word in name), 0)
    until = months_after(supplied + timedelta(days=min(days, 366)), max(acts, standing_words().supplied_months))
    if until > at:
        return MedicineStatus(SUPPLIED, until)
    return MedicineStatus(LAPSED, months_after(supplied, _ACUTE_MONTHS * 2), supplied)


def supplied_on(content: Mapping[str, Any]) -> str:
    """When a medicine was supplied or given, as it is written; "" if that is not stated."""
    paths = (("effectiveDateTime",), ("whenHandedOver",), ("whenPrepared",), ("effectivePeriod", "start"))
    return next((found for path in paths if (found := text_at(content, *path))), "")


def _is_supplied_order(content: Mapping[str, Any]) -> bool:
    """Whether `completed` means a supply: an order of a continuous medicine, for which no end is given."""
    order = content.get("resourceType") == "MedicationRequest" and text_at(content, "intent").endswith("order")
    return order and is_continuous(content) and "statusReason" not in content


def _stopped_until(record: SummaryRecord, statement: Statement) -> datetime:
    """Until when a stopped medicine is shown: the longer time if the source does not say whether it was a repeat."""
    ended = last_end(statement.content, record.at)
    # If no end is stated, the medicine stopped at the latest when that was recorded.
    stopped = months_after(ended or statement.recorded_at, _STOPPED_MONTHS)
    acute = is_acute(statement.content)
    if course_kinds(statement.content) and not acute:
        return stopped
    return max(stopped, months_after(latest_time(statement.content, statement.recorded_at), _ACUTE_MONTHS))
