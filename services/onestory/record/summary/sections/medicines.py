"""Medicines: current repeats, repeats of a former practice, acute ones of a year, those stopped within six months.

A repeat is shown while it is current and for six months after it stopped; an acute prescription is shown for a year. A
missing date is taken as late as possible, so a medicine is shown too long rather than too short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary import sources
from onestory.record.summary.allergy_hints import Risk, drug_risks, medicine_warnings
from onestory.record.summary.clinical_dates import date_text
from onestory.record.summary.dates import months_after
from onestory.record.summary.dates import shown as date_shown
from onestory.record.summary.doses import doses
from onestory.record.summary.model import SummaryRecord, end_of_day
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.places import summary_codes
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.values import period_text
from onestory.record.summary.wording import name_of, notes, own_name, status_of
from onestory.shared.fhir.dates import NEVER, parse_date
from onestory.shared.fhir.json import codes_of, concept_texts, extensions, objects_at, text_at, values_at

_MEDICINES = SectionDefinition(
    "10160-0",
    "Medicines",
    "No current medicines received. Ask the person and check the GP record.",
)
_TYPES = ("MedicationRequest", "MedicationStatement")
_REPORTED_STATUSES = {"not-taken": "Reported as not taken", "unknown": "Reported; not known whether it is taken"}

FORBIDDEN = "Not to be given"
CURRENT = "Current"
UNSURE = "Planned, or its source does not know"
ACUTE = "Acute, within a year"
FORMER = "Repeats of a former practice: not known to be current"
STOPPED = "Stopped or ended within six months, or not taken"
GROUPS = (FORBIDDEN, CURRENT, UNSURE, ACUTE, FORMER, STOPPED)
"""In the order in which they are shown: the most important first."""

_STOPPED_MONTHS = 6
_ACUTE_MONTHS = 12
_OVER_STATUSES = {"completed", "stopped", "cancelled", "not-taken"}
_UNSURE_STATUSES = {"draft", "intended", "unknown"}
_UNSURE_INTENTS = {"proposal", "option"}
_ENDS = (
    ("effectivePeriod", "end"),
    ("dispenseRequest", "validityPeriod", "end"),
    ("dosageInstruction", "timing", "repeat", "boundsPeriod", "end"),
    ("dosage", "timing", "repeat", "boundsPeriod", "end"),
)
_BEGINS = (
    ("authoredOn",),
    ("effectiveDateTime",),
    ("effectivePeriod", "start"),
    ("dosageInstruction", "timing", "event"),
    ("dosage", "timing", "event"),
    ("dosageInstruction", "timing", "repeat", "boundsPeriod", "start"),
    ("dosage", "timing", "repeat", "boundsPeriod", "start"),
)


class MedicineStatus(NamedTuple):
    """The group that a medicine is shown in, and the time until which it is."""

    group: str
    until: datetime


def medicines(record: SummaryRecord) -> Section | None:
    """The section. Medicines that are too old are counted only."""
    names = {fact.id: name_of(record.shown(fact).content) for fact in record.facts(*_TYPES)}
    risks = drug_risks(record)
    groups: dict[str, list[Line]] = {group: [] for group in GROUPS}
    older = 0
    for fact in sorted(record.facts(*_TYPES), key=lambda fact: _order(fact, names)):
        if status := _fact_status(record, fact):
            groups[status.group].append(_line(record, fact, names[fact.id], status, risks))
        else:
            older += 1
    taken = [line.fact for group in (CURRENT, ACUTE) for line in groups[group]]
    stated = sources.none_known_remarks(record, "medicines", taken)
    more = f"More is held: {older} older medicines are not shown here (acute ones of more than a year, others that "
    return build_section(
        record,
        _MEDICINES,
        [Group(caption, lines) for caption, lines in groups.items()],
        remarks=[*stated, f"{more}ended more than six months ago)." if older else ""],
        empty="nilknown" if stated else "unavailable",
    )


def _fact_status(record: SummaryRecord, fact: Fact) -> MedicineStatus | None:
    """The status of the fact; the most current statement decides, because a medicine that is taken may do harm."""
    statuses = [medicine_status(record, statement) for statement in record.valid_statements(fact)]
    valid = [status for status in statuses if status.until > record.at]
    if not valid:
        return None
    decisive = min(valid, key=lambda status: GROUPS.index(status.group))
    return MedicineStatus(decisive.group, min(status.until for status in valid))


def medicine_status(record: SummaryRecord, statement: Statement) -> MedicineStatus:
    """The status of a medicine by one statement, and by whether its source is still the person's practice."""
    content = statement.content
    if content.get("doNotPerform") is True:
        return MedicineStatus(FORBIDDEN, NEVER)
    status = text_at(content, "status")
    if _is_acute(content):
        ended_early = status in _OVER_STATUSES - {"completed"}
        until = months_after(_latest_time(content, statement.recorded_at), _ACUTE_MONTHS)
        return MedicineStatus(STOPPED if ended_early else ACUTE, until)
    if status in _OVER_STATUSES:
        return MedicineStatus(STOPPED, _stopped_until(record, statement))
    if status in _UNSURE_STATUSES or text_at(content, "intent") in _UNSURE_INTENTS:
        return MedicineStatus(UNSURE, months_after(_latest_time(content, statement.recorded_at), _ACUTE_MONTHS))
    return _repeat_status(record, statement)


def _repeat_status(record: SummaryRecord, statement: Statement) -> MedicineStatus:
    end = max(_moments(statement.content, [("effectivePeriod", "end")]), default=None)
    if end and end <= record.at:
        return MedicineStatus(STOPPED, months_after(end, _STOPPED_MONTHS))
    if until := record.former_until(statement):
        return MedicineStatus(FORMER, months_after(end_of_day(until), _STOPPED_MONTHS))
    return MedicineStatus(CURRENT, end or NEVER)


def _stopped_until(record: SummaryRecord, statement: Statement) -> datetime:
    """Until when a stopped medicine is shown: the longer time if the source does not say whether it was a repeat."""
    ended = [end for end in _moments(statement.content, _ENDS) if end <= record.at]
    # If no end is stated, the medicine stopped at the latest when that was recorded.
    stopped = months_after(max(ended, default=statement.recorded_at), _STOPPED_MONTHS)
    if _course(statement.content):
        return stopped
    return max(stopped, months_after(_latest_time(statement.content, statement.recorded_at), _ACUTE_MONTHS))


def _is_acute(content: Mapping[str, Any]) -> bool:
    return "acute" in _course(content)


def _course(content: Mapping[str, Any]) -> set[str]:
    """The kind of course, such as `acute` or `continuous`, from the FHIR element or the UK extension."""
    stated = [found for found in values_at(content, "courseOfTherapyType", "coding", "code") if isinstance(found, str)]
    for ending in ("PrescriptionType", "PrescriptionType-1"):
        stated += [text_at(one, "valueCodeableConcept", "coding", "code") for one in extensions(content, ending)]
    return {found.casefold() for found in stated if found}


def _latest_time(content: Mapping[str, Any], otherwise: datetime) -> datetime:
    """The latest time that the statement names; if it names none, `otherwise`."""
    return max(_moments(content, (*_BEGINS, *_ENDS)), default=otherwise)


def _moments(content: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> list[datetime]:
    found = [parse_date(written) for path in paths for written in values_at(content, *path)]
    return [known.end for known in found if known]


def _order(fact: Fact, names: Mapping[str, str]) -> tuple[str, str, str, str]:
    # A request and the statement that it is taken stand together, under one of their names.
    first_id = min(each for each in (fact.id, *fact.related) if each in names)
    return (names[first_id].casefold(), first_id, fact.resource_type, fact.id)


def _line(record: SummaryRecord, fact: Fact, name: str, status: MedicineStatus, risks: Sequence[Risk]) -> Line:
    shown = record.shown(fact)
    exact_content = record.exact_content(shown)
    doses_shown = [] if doses(exact_content) else _doses_of_others(record, fact)
    details = [detail for detail in [*doses_shown, *_details(record, exact_content)] if detail]
    all_notes = [note for statement in record.valid_statements(fact) for note in notes(statement.content)]
    return Line(
        fact,
        [strong(text(name)), _kind(shown.content), *medicine_warnings(risks, name)],
        [text(detail) for detail in dict.fromkeys([*details, *all_notes])],
        status.until,
    )


def _doses_of_others(record: SummaryRecord, fact: Fact) -> list[str]:
    """The doses of the first statement that has some, for a shown statement without one."""
    for statement in record.valid_statements(fact):
        if dose_texts := doses(record.exact_content(statement)):
            return [f"{dose} (by {record.organisation_of(statement)})" for dose in dose_texts]
    return []


def _kind(content: Mapping[str, Any]) -> str:
    if content.get("resourceType") == "MedicationRequest":
        return "Order not to give it" if content.get("doNotPerform") is True else "Prescribed"
    if codes_of(content, "medicationCodeableConcept") & summary_codes().none_known:
        return "Reported"
    return _REPORTED_STATUSES.get(text_at(content, "status"), "Reported as taken")


def _details(record: SummaryRecord, content: Mapping[str, Any]) -> Iterator[str]:
    yield from doses(content)
    intent = text_at(content, "intent")
    status_parts = [
        status_of(content),
        "" if intent == "order" else intent,
        *concept_texts(content, "courseOfTherapyType"),
    ]
    yield ", ".join(part for part in status_parts if part)
    yield from concept_texts(content, "statusReason")
    if authored := text_at(content, "authoredOn"):
        yield f"Prescribed {date_shown(authored)}"
    yield date_text(content, "effective")
    for validity in objects_at(content, "dispenseRequest", "validityPeriod"):
        yield f"Valid {period_text(validity)}"
    reasons = [*concept_texts(content, "reasonCode"), *_referenced_reasons(record, content)]
    if reasons:
        yield f"For {', '.join(dict.fromkeys(reasons))}"


def _referenced_reasons(record: SummaryRecord, content: Mapping[str, Any]) -> Iterator[str]:
    for reference in objects_at(content, "reasonReference"):
        found = record.lookup.find(content, reference)
        if name := text_at(reference, "display") or (own_name(found) if found else ""):
            yield name
