"""The next appointments, the soonest first (http://hl7.org/fhir/R4/appointment.html)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary import dates as summary_dates
from onestory.record.summary import wording
from onestory.record.summary.around import actor
from onestory.record.summary.confidentiality import short_mark
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import ONESTORY_SECTIONS, Group, Line, Section, SectionDefinition, build_section
from onestory.shared.fhir.dates import NEVER, parse_date
from onestory.shared.fhir.json import concept_texts, object_of, objects_at, text_at

_APPOINTMENTS = SectionDefinition("appointments", "Next appointments", types=frozenset(["Appointment"]))
_BOOKED = {"booked", "arrived", "checked-in"}
_NOT_YET = {"proposed", "pending", "waitlist"}
_OFF = {"cancelled", "noshow"}
_MAX_SHOWN = 10


def appointments(record: SummaryRecord) -> Section | None:
    """The appointments to come, those without a date yet, and those that were cancelled; the rest is counted."""
    everyone = sorted(record.facts("Appointment"), key=lambda fact: (_end(record, fact), fact.id))
    ahead = [fact for fact in everyone if _end(record, fact) > record.at]
    booked = [fact for fact in ahead if _status(record, fact) in _BOOKED][:_MAX_SHOWN]
    waiting = [fact for fact in ahead if _status(record, fact) in _NOT_YET][:_MAX_SHOWN]
    off = [fact for fact in ahead if _status(record, fact) in _OFF and _end(record, fact) < NEVER][:_MAX_SHOWN]
    groups = [
        Group("Booked", _copies_together([_line(record, fact) for fact in booked])),
        Group("Not booked yet", [_line(record, fact) for fact in waiting]),
        Group("Cancelled", [_line(record, fact) for fact in off]),
    ]
    missed = [_missed(record, fact) for fact in reversed(everyone) if _status(record, fact) == "noshow"]
    number = len(everyone) - len(booked) - len(waiting) - len(off) - min(len(missed), _MAX_SHOWN)
    remarks = [
        text(f"Did not attend: {'; '.join(missed[:_MAX_SHOWN])}.") if missed else "",
        wording.omitted_remark(number, "are over, or lie further ahead"),
    ]
    built = build_section(record, _APPOINTMENTS, groups, remarks=remarks)
    return replace(built, system=ONESTORY_SECTIONS, empty=None) if built else None


def _copies_together(lines: Sequence[Line]) -> list[Line]:
    """The lines, with one for what two organisations hold of one time, name and details."""
    found: dict[object, Line] = {}
    for line in lines:
        key = (*line.what, *line.details)
        first = found.get(key)
        if first and line.fact.members[0].organisation != first.fact.members[0].organisation:
            found[key] = first._replace(others=[*first.others, line.fact])
        else:
            found[line.fact.id if first else key] = line
    return list(found.values())


def _status(record: SummaryRecord, fact: Fact) -> str:
    return text_at(record.shown(fact).content, "status")


def _end(record: SummaryRecord, fact: Fact) -> datetime:
    content = record.shown(fact).content
    written = text_at(content, "end") or text_at(content, "start") or text_at(content, "requestedPeriod", "end")
    known = parse_date(written)
    return known.end if known else NEVER


def _missed(record: SummaryRecord, fact: Fact) -> str:
    content = record.shown(fact).content
    name = next((each for each in _names(content) if each), "Appointment") + short_mark([content])
    when = summary_dates.shown(text_at(content, "start"))
    return f"{name} ({when})" if when else name


def _names(content: Mapping[str, Any]) -> list[str]:
    named = (concept_texts(content, each) for each in ("serviceType", "appointmentType", "specialty"))
    return [text_at(content, "description"), *(each for names in named for each in names)]


def _line(record: SummaryRecord, fact: Fact) -> Line:
    content = record.shown(fact).content
    when = summary_dates.shown(text_at(content, "start")) or "no date yet"
    names = _names(content)
    named = next((each for each in names if each), "Appointment")
    rest = [each for each in names[1:] if each != named]
    details = [
        *rest,
        *concept_texts(content, "reasonCode"),
        *concept_texts(content, "cancelationReason"),
        *_with(record, fact),
        text_at(content, "patientInstruction"),
    ]
    return Line(
        fact,
        [strong(text(when)), text(named)],
        [text(each) for each in dict.fromkeys(details) if each],
        _end(record, fact),
    )


def _with(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    """Yields with whom and where."""
    statement = record.shown(fact)
    for participant in objects_at(statement.content, "participant"):
        is_person = text_at(participant, "actor", "reference").startswith("Patient/")
        if is_person and text_at(participant, "status") == "declined":
            yield "The person has declined it"
        found = actor(record, statement, object_of(participant, "actor"))
        if found and text_at(participant, "status") != "declined":
            yield ", ".join([found.name, *found.phones])
