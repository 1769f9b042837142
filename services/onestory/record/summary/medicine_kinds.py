"""Writes the kind of a medicine with its dates: repeat or acute, last issued, ended, supplied.

It stands beside the section of medicines because of its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from onestory.record.medicines.own_stops import stated_status
from onestory.record.merge.model import Statement
from onestory.record.summary.clinical_dates import date_text
from onestory.record.summary.conflict_words import organisation_words
from onestory.record.summary.dates import day
from onestory.record.summary.dates import shown as date_shown
from onestory.record.summary.medicine_courses import (
    course_end,
    course_kinds,
    is_acute,
    is_continuous,
    limited_supply,
    starts_at,
)
from onestory.record.summary.medicine_rows import MedicineRow, last_given, last_issued
from onestory.record.summary.medicine_standing import (
    ANTICIPATORY,
    COURSE,
    FORBIDDEN,
    INFUSION,
    LAPSED,
    PAUSED,
    STOPPED,
    SUPPLIES,
    UNSURE,
    WHEN_REQUIRED,
    MedicineStatus,
    short_supply,
)
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.places import summary_codes
from onestory.shared.fhir.dates import uk_day
from onestory.shared.fhir.json import codes_of, objects_at, text_at

_REPORTED = {"not-taken": "Not taken, as reported", "unknown": "Reported; not known if taken", "intended": "Planned"}
_KINDS = {
    WHEN_REQUIRED: "When required",
    ANTICIPATORY: "Anticipatory: not started",
    INFUSION: "Infusion",
    COURSE: "Acute",
}


def begun_on(content: Mapping[str, Any]) -> str:
    period = text_at(content, "effectivePeriod", "start")
    dates = (text_at(content, name) for name in ("authoredOn", "effectiveDateTime", "whenHandedOver", "whenPrepared"))
    return next((found for found in (*dates, period) if found), "")


def kind_words(record: SummaryRecord, row: MedicineRow, status: MedicineStatus) -> Iterator[str]:
    shown = record.shown(row.lead)
    content = shown.content
    kind = _kind_of(content, status)
    if not kind and any(is_continuous(each.content) for each in record.valid_statements(row.lead)):
        kind = "Repeat"
    yield kind
    if row.taken:
        yield "Reported as taken too"
    if row.lead.resource_type in SUPPLIES:
        yield _earlier_words(record, row)
    elif (given := last_given(record, row)) and given.uk_day:
        yield f"Last given {day(given.uk_day)}"
    issued = last_issued(record, row) if row.lead.resource_type not in SUPPLIES else None
    if issued and issued.uk_day:
        words = "Not issued since" if status.group == LAPSED and not status.ended else "Last issued"
        yield f"{words} {day(issued.uk_day)}"
    if status.ended and status.group in (LAPSED, STOPPED):
        ended = day(uk_day(status.ended - timedelta(seconds=1)))
        supply = row.lead.resource_type in SUPPLIES
        words = "Supplied" if supply else "Authorisation ended" if status.group == LAPSED else "Ended"
        yield f"{words} {ended}"
    yield from _dates(record, shown, status)


def _earlier_words(record: SummaryRecord, row: MedicineRow) -> str:
    """The earlier supplies of a row that a supply leads: their number and the first date; "" if there are none."""
    begun = sorted(found for each in row.issues if (found := begun_on(record.shown(each).content)))
    if not begun:
        return ""
    return f"And on {len(begun)} earlier occasion{'' if len(begun) == 1 else 's'}, first {date_shown(begun[0])}"


def _kind_of(content: Mapping[str, Any], status: MedicineStatus) -> str:
    resource_type, stated = content.get("resourceType"), stated_status(content)
    if status.group == FORBIDDEN:
        return "DO NOT GIVE"
    if resource_type in SUPPLIES and status.group == INFUSION:
        return "Running when it was sent"
    if resource_type in SUPPLIES and status.group == UNSURE:
        return "Not supplied yet"
    if resource_type in SUPPLIES and status.group == STOPPED:
        return "Not given" if resource_type == "MedicationAdministration" else "Not supplied"
    if resource_type in SUPPLIES:
        return "Given" if resource_type == "MedicationAdministration" else "Supplied"
    if codes_of(content, "medicationCodeableConcept") & summary_codes().none_known:
        return "Reported"
    request = resource_type == "MedicationRequest"
    if not request and status.group == PAUSED:
        return "Paused"
    if not request and stated in _REPORTED:
        return _REPORTED[stated]
    if status.group == STOPPED:
        return "Was prescribed" if request else "Was taken"
    if status.group == UNSURE:
        intent = text_at(content, "intent")
        return f"Planned ({intent})" if request and intent not in ("", "order") else "Planned"
    if status.group == COURSE and limited_supply(content) and not course_end(content):
        # Its supply says how long it lasts, and not that it is a course.
        return ""
    if status.group in _KINDS:
        return _KINDS[status.group]
    kind = "Repeat" if is_continuous(content) else "Acute" if is_acute(content) else ", ".join(course_kinds(content))
    if not kind and request:
        return "" if text_at(content, "authoredOn") else "Prescribed"
    return kind or "Reported as taken"


def _dates(record: SummaryRecord, shown: Statement, status: MedicineStatus) -> Iterator[str]:
    content = shown.content
    supply = content.get("resourceType") in SUPPLIES
    completed = stated_status(content) == "completed" and status.group != STOPPED and not supply
    if begun := text_at(content, "authoredOn"):
        yield f"{'Supplied' if completed else 'Prescribed'} {date_shown(begun)}"
    if completed:
        yield f"Sent as completed: ask {organisation_words(record, shown)} if it goes on"
    if supply and (handed := begun_on(content)):
        yield f"{date_shown(handed)} by {organisation_words(record, shown)}"
    yield date_text(content, "effective") if not supply else ""
    starts = starts_at(content) if status.group == UNSURE and "effectivePeriod" not in content else None
    if starts and starts > record.at:
        yield f"Starts {day(uk_day(starts))}"
    elif status.group != STOPPED and (limited := short_supply(record, shown)):
        last = day(uk_day(limited.end - timedelta(seconds=1)))
        ended = limited.end <= record.at
        yield (
            f"Supply of {limited.words} ended {last}: ask if it goes on"
            if ended
            else f"Supply of {limited.words} until {last}; not stated if it goes on"
        )
    for validity in objects_at(content, "dispenseRequest", "validityPeriod"):
        if (end := text_at(validity, "end")) and not (status.ended and status.group == LAPSED):
            yield f"Valid until {date_shown(end)}"
