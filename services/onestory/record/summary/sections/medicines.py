"""Medicines: current repeats, those of a former practice, acute ones of a year, and what stopped within six months."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary import sources
from onestory.record.summary.model import MergedRecord, ended, reviewed
from onestory.record.summary.moments import NEVER, moment, months_after
from onestory.record.summary.moments import shown as date_shown
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, section
from onestory.record.summary.wording import dated, doses, name_of, notes, period_of, status_of
from onestory.shared.fhir.json import all_named, codes, each, extensions, first, objects

# How a medicine stands at a moment by one statement of it, and until when.
#
# A repeat counts until it is stopped and for six months after, an acute prescription for a year (`domain.md`). A date
# that nobody gave is taken as late as it can have been: a medicine is shown too long rather than too short.

FORBIDDEN = "Not to be given"
CURRENT = "Current"
UNSURE = "Planned, or its source does not know"
ACUTE = "Acute, within a year"
FORMER = "Repeats of a former practice: not known to be current"
STOPPED = "Stopped or ended within six months, or not taken"
GROUPS = (FORBIDDEN, CURRENT, UNSURE, ACUTE, FORMER, STOPPED)
"""As they are shown: what matters most first."""

_STOPPED_MONTHS = 6
_ACUTE_MONTHS = 12
_OVER = {"completed", "stopped", "cancelled", "not-taken"}
_NOT_SURE = {"draft", "intended", "unknown"}
_NOT_ORDERED = {"proposal", "option"}
_ENDS = (
    ("effectivePeriod", "end"),
    ("dispenseRequest", "validityPeriod", "end"),
    ("dosageInstruction", "timing", "repeat", "boundsPeriod", "end"),
    ("dosage", "timing", "repeat", "boundsPeriod", "end"),
)
_BEGINS = (("authoredOn",), ("effectiveDateTime",), ("effectivePeriod", "start"))


class MedicineStatus(NamedTuple):
    """Where a medicine is shown, and from when on it is not shown there any more."""

    group: str
    until: datetime


def standing(record: MergedRecord, said: Statement) -> MedicineStatus:
    """By what is said, and by whether its source still is the person's practice."""
    content = said.content
    if content.get("doNotPerform") is True:
        return MedicineStatus(FORBIDDEN, NEVER)
    status = first(content, "status")
    if _is_acute(content):
        ended_early = status in _OVER - {"completed"}
        until = months_after(_last(content, said.recorded_at), _ACUTE_MONTHS)
        return MedicineStatus(STOPPED if ended_early else ACUTE, until)
    if status in _OVER:
        return MedicineStatus(STOPPED, _stopped_until(record, said))
    if status in _NOT_SURE or first(content, "intent") in _NOT_ORDERED:
        return MedicineStatus(UNSURE, months_after(_last(content, said.recorded_at), _ACUTE_MONTHS))
    return _repeated(record, said)


def _repeated(record: MergedRecord, said: Statement) -> MedicineStatus:
    end = max(_moments(said.content, [("effectivePeriod", "end")]), default=None)
    if end and end <= record.at:
        return MedicineStatus(STOPPED, months_after(end, _STOPPED_MONTHS))
    if until := record.former_until(said):
        return MedicineStatus(FORMER, months_after(ended(until), _STOPPED_MONTHS))
    return MedicineStatus(CURRENT, end or NEVER)


def _stopped_until(record: MergedRecord, said: Statement) -> datetime:
    """A source that does not say whether it was a repeat may have meant an acute one: then the longer time counts."""
    ended = [end for end in _moments(said.content, _ENDS) if end <= record.at]
    # Recorded after it was stopped, or as it was.
    stopped = months_after(max(ended, default=said.recorded_at), _STOPPED_MONTHS)
    if _course(said.content):
        return stopped
    return max(stopped, months_after(_last(said.content, said.recorded_at), _ACUTE_MONTHS))


def _is_acute(content: Mapping[str, Any]) -> bool:
    return "acute" in _course(content)


def _course(content: Mapping[str, Any]) -> set[str]:
    """How it is given: `acute`, `continuous` and the like, in FHIR's element or in the UK extension."""
    stated = [found for found in each(content, "courseOfTherapyType", "coding", "code") if isinstance(found, str)]
    for ending in ("PrescriptionType", "PrescriptionType-1"):
        stated += [first(one, "valueCodeableConcept", "coding", "code") for one in extensions(content, ending)]
    return {found.casefold() for found in stated if found}


def _last(content: Mapping[str, Any], otherwise: datetime) -> datetime:
    """The latest time that it names, or else when it was recorded."""
    return max(_moments(content, (*_BEGINS, *_ENDS)), default=otherwise)


def _moments(content: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> list[datetime]:
    found = [moment(written) for path in paths for written in each(content, *path)]
    return [known.end for known in found if known]


_ABOUT = SectionDefinition(
    "10160-0",
    "Medicines",
    "No source here says anything of a medicine of now. This does not mean that there is none.",
)
_TYPES = ("MedicationRequest", "MedicationStatement")
_DENIED = {"not-taken": "Reported as not taken", "unknown": "Reported; not known whether it is taken"}


def medicines(record: MergedRecord) -> Section | None:
    """The section; what is too old is counted."""
    names = {fact.id: _name(record, record.shown(fact)) for fact in record.facts(*_TYPES)}
    groups: dict[str, list[Line]] = {group: [] for group in GROUPS}
    older = 0
    for fact in sorted(record.facts(*_TYPES), key=lambda fact: _order(fact, names)):
        if now := _now(record, fact):
            groups[now.group].append(_line(record, fact, names[fact.id], now))
        else:
            older += 1
    taken = [line.fact for group in (CURRENT, ACUTE) for line in groups[group]]
    stated = sources.stated(record, "medicines", taken)
    more = f"More is held: {older} older medicines are not shown here (acute ones of more than a year, others that "
    return section(
        record,
        _ABOUT,
        [Group(caption, lines) for caption, lines in groups.items()],
        remarks=[*stated, f"{more}ended more than six months ago)." if older else ""],
        empty="nilknown" if stated else "unavailable",
    )


def _now(record: MergedRecord, fact: Fact) -> MedicineStatus | None:
    """How the fact stands by what is said of it; the most current statement decides, for what is taken may harm."""
    each = [standing(record, said) for said in record.standing(fact)]
    counting = [one for one in each if one.until > record.at]
    if not counting:
        return None
    decides = min(counting, key=lambda one: GROUPS.index(one.group))
    return MedicineStatus(decides.group, min(one.until for one in counting))


def _order(fact: Fact, names: Mapping[str, str]) -> tuple[str, str, str, str]:
    # What is prescribed and what is taken of it stand together, under one of their names.
    first_of_them = min(each for each in (fact.id, *fact.beside) if each in names)
    return (names[first_of_them].casefold(), first_of_them, fact.resource_type, fact.id)


def _name(record: MergedRecord, said: Statement) -> str:
    own = next(iter(all_named(said.content, "medicationCodeableConcept")), "")
    return own or next(_by_reference(record, said), "") or name_of(said.content)


def _by_reference(record: MergedRecord, said: Statement) -> Iterator[str]:
    for reference in objects(said.content, "medicationReference"):
        medication = record.resolved(said, reference)
        if medication is not None:
            yield name_of(medication)
        if display := first(reference, "display"):
            yield display


def _line(record: MergedRecord, fact: Fact, name: str, now: MedicineStatus) -> Line:
    shown = record.shown(fact)
    exact = record.exact(shown)
    told = [] if doses(exact) else _doses_of_others(record, fact)
    details = [detail for detail in [*told, *_details(exact)] if detail]
    said = [note for each in record.standing(fact) for note in notes(each.content)]
    return Line(
        fact,
        [strong(text(name)), _kind(shown.content)],
        [text(detail) for detail in dict.fromkeys([*details, *said])],
        now.until,
    )


def _doses_of_others(record: MergedRecord, fact: Fact) -> list[str]:
    """Who is shown may not say the dose: then the next who does is heard."""
    for said in record.standing(fact):
        if told := doses(record.exact(said)):
            return [f"{dose} (by {record.organisation(said)})" for dose in told]
    return []


def _kind(content: Mapping[str, Any]) -> str:
    if content.get("resourceType") == "MedicationRequest":
        return "Order not to give it" if content.get("doNotPerform") is True else "Prescribed"
    if codes(content, "medicationCodeableConcept") & reviewed().none_known:
        return "Reported"
    return _DENIED.get(first(content, "status"), "Reported as taken")


def _details(content: Mapping[str, Any]) -> Iterator[str]:
    yield from doses(content)
    intent = first(content, "intent")
    said = [status_of(content), "" if intent == "order" else intent, *all_named(content, "courseOfTherapyType")]
    yield ", ".join(part for part in said if part)
    yield from all_named(content, "statusReason")
    if authored := first(content, "authoredOn"):
        yield f"Prescribed {date_shown(authored)}"
    yield dated(content, "effective")
    for validity in objects(content, "dispenseRequest", "validityPeriod"):
        yield f"Valid {period_of(validity)}"
    if reasons := all_named(content, "reasonCode"):
        yield f"For {', '.join(reasons)}"
