"""Immunisations, procedures, devices and clinical assessments; newest first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.rules import merge_rules
from onestory.record.summary import wording
from onestory.record.summary.clinical_dates import clinical_date_text, date_or_none_stated
from onestory.record.summary.confidentiality import short_mark
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.values import period_text
from onestory.record.summary.wording import name_of, notes, unusual_status
from onestory.shared.fhir.dates import NEVER, parse_date
from onestory.shared.fhir.json import (
    concept_text,
    concept_texts,
    extensions,
    number_text,
    objects_at,
    text_at,
    values_at,
)

MAX_LINES = 50
"""Lines of each of these sections: the newest of each kind first."""
_IMMUNISATIONS = SectionDefinition("11369-6", "Immunisations", types=frozenset(["Immunization"]))
_PROCEDURES = SectionDefinition("47519-4", "Procedures", types=frozenset(["Procedure"]))
_DEVICES = SectionDefinition("46264-8", "Devices", types=frozenset(["DeviceUseStatement"]))
_ASSESSMENTS = SectionDefinition(
    "47420-5", "Functional status and clinical assessments", types=frozenset(["ClinicalImpression"])
)


_NOT_GIVEN = "Declined or not given"
_NOT_DONE = "Declined or not done"
_NOT_BEGUN = {"not-done", "preparation"}
_STATUS_WORDS = {"not-done": "Not done", "entered-in-error": "Entered in error"}
_REASONS = {
    "PATOBJ": "patient objection",
    "IMMUNE": "immunity",
    "MEDPREC": "medical precaution",
    "OSTOCK": "product out of stock",
    "RELIG": "religious objection",
    "PHILISOP": "philosophical objection",
}
"""Words for codes of http://hl7.org/fhir/R4/valueset-immunization-status-reason.html and v3-ActReason."""
_GIVEN = {"", "completed"}
_DAY = re.compile(r"[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4}")
MAX_NAMED = 10
"""Ended devices that are named; the others are counted."""


def immunisations(record: SummaryRecord) -> Section | None:
    """The immunisations that were given, with copies that are Procedures; then those declined or not given.

    One without a status counts as given.
    """
    known = list(record.facts("Immunization"))
    given = [fact for fact in known if _any_has_status(record, fact, _GIVEN)]
    declined = [fact for fact in known if not _any_has_status(record, fact, _GIVEN)]
    copies = record.vaccination_copies
    groups = [
        _together(_newest(record, "Newest first", given, _vaccine, _dose, copies)),
        _newest(record, _NOT_GIVEN, declined, _vaccine, _declined),
    ]
    return _section(record, _IMMUNISATIONS, groups, len(known))


def procedures(record: SummaryRecord) -> Section | None:
    """The procedures that are planned, those that were done or begun, then those declined or not done."""
    copied = {copy.id for copies in record.vaccination_copies.values() for copy in copies}
    known = [fact for fact in record.facts("Procedure") if fact.id not in copied]
    planned = [fact for fact in known if _all_have_status(record, fact, {"preparation"})]
    not_done = [fact for fact in known if _all_have_status(record, fact, _NOT_BEGUN) and fact not in planned]
    done = [fact for fact in known if not _all_have_status(record, fact, _NOT_BEGUN)]
    groups = [
        _newest(record, "Planned, not yet done", planned, _name, _declined),
        _copies_together(_newest(record, "Newest first", done, _name, _procedure)),
        _newest(record, _NOT_DONE, not_done, _name, _declined),
    ]
    return _section(record, _PROCEDURES, groups, len(known))


def devices(record: SummaryRecord) -> Section | None:
    """The devices in use. A Device without a DeviceUseStatement is shown in the narrative only."""
    uses = list(record.facts("DeviceUseStatement"))
    used = [fact for fact in uses if _in_use(record, fact)]
    named_by_use = {
        text_at(reference, "reference").rpartition("/")[2]
        for fact in uses
        for reference in objects_at(record.shown(fact).content, "device")
    }
    own = [
        fact
        for fact in record.facts("Device")
        if not any(statement.shared_id in named_by_use for statement in fact.members)
        and "patient" in record.shown(fact).content
    ]
    active = [fact for fact in own if _any_has_status(record, fact, {"active", "unknown", ""})]
    shown = [*used, *active]
    in_use = {fact.id for fact in shown}
    ended = [fact for fact in [*uses, *own] if fact.id not in in_use]
    group = _newest(record, "Newest first", shown, _device, _device_details)
    return _section(record, _DEVICES, [group], len(shown), _ended_devices(record, ended))


def _ended_devices(record: SummaryRecord, ended: Sequence[Fact]) -> str:
    """A remark (XHTML) that names the devices no longer in use; "" if there are none."""
    named = []
    for fact in wording.newest_first(record, ended)[:MAX_NAMED]:
        shown = record.shown(fact)
        period = period_text(shown.content.get("timingPeriod")) or clinical_date_text(shown)
        mark = short_mark([each.content for each in record.valid_statements(fact)])
        parts = (_device(record, shown) + mark, f"({period})" if period else "")
        named.append(" ".join(part for part in parts if part))
    more = len(ended) - len(named)
    listed = "; ".join([*named, *([f"and {more} more"] if more else [])])
    return f"No longer in use: {text(listed)}." if named else ""


def assessments(record: SummaryRecord) -> Section | None:
    """The clinical impressions."""
    facts = list(record.facts("ClinicalImpression"))
    group = _newest(record, "Newest first", facts, _name, _assessment)
    return _section(record, _ASSESSMENTS, [group], len(facts))


def _name(_: SummaryRecord, statement: Statement) -> str:
    return name_of(statement.content)


def _newest(
    record: SummaryRecord,
    caption: str,
    facts: Sequence[Fact],
    name: Callable[[SummaryRecord, Statement], str],
    details: Callable[[Mapping[str, Any]], Iterator[str]],
    copies: Mapping[str, Sequence[Fact]] = MappingProxyType({}),
) -> Group:
    """The newest of these facts as lines."""
    shown = wording.newest_of_each_kind(record, wording.newest_first(record, facts), MAX_LINES)
    return Group(caption, [_line(record, fact, name, details, copies.get(fact.id, ())) for fact in shown])


def _together(group: Group) -> Group:
    """The vaccinations of a group, with one line for those of one organisation that differ in their day only."""
    lines: dict[object, list[Line]] = {}
    for line in group.lines:
        name, *date = line.what
        organisation = line.fact.members[0].organisation
        is_plain = len(line.fact.members) == 1 and not line.others and not line.fact.conflicts and len(date) == 1
        lines.setdefault((name, organisation, *line.details) if is_plain else line.fact.id, []).append(line)
    return group._replace(lines=[_of_all_days(same) for same in lines.values()])


def _copies_together(group: Group) -> Group:
    """The procedures of a group, with one line for those of one name, day and details of different organisations."""
    lines: dict[object, Line] = {}
    for line in group.lines:
        day, _, time = line.what[-1].partition(", ")
        is_plain = _DAY.fullmatch(day) and not line.fact.conflicts
        key = (line.what[0].casefold(), day, *line.details) if is_plain else line.fact.id
        first = lines.get(key)
        if first is None:
            lines[key] = line
            continue
        organisations = {each.members[0].organisation for each in (first.fact, *first.others)}
        first_time = first.what[-1].partition(", ")[2]
        if line.fact.members[0].organisation in organisations or (time and first_time and time != first_time):
            lines[line.fact.id] = line
        else:
            lines[key] = first._replace(others=[*first.others, line.fact])
    return group._replace(lines=list(lines.values()))


def _of_all_days(lines: Sequence[Line]) -> Line:
    first, *others = lines
    if not others:
        return first
    days = "; ".join(line.what[1] for line in lines)
    return first._replace(what=first.what[:1], details=[days, *first.details], others=[each.fact for each in others])


def _section(
    record: SummaryRecord, definition: SectionDefinition, groups: Sequence[Group], known: int, remark: str = ""
) -> Section | None:
    types = {line.fact.resource_type for group in groups for line in group.lines}
    shown = [fact for group in groups for line in group.lines for fact in (line.fact, *line.others)]
    # A copy of another type than its line is none of those that are known.
    more = known - sum(fact.resource_type in types for fact in shown)
    held = f"More is held: {more} are not shown here (older ones of a kind that is shown first)." if more else ""
    return build_section(record, definition, groups, remarks=[held, remark])


def _line(
    record: SummaryRecord,
    fact: Fact,
    name: Callable[[SummaryRecord, Statement], str],
    details: Callable[[Mapping[str, Any]], Iterator[str]],
    copies: Sequence[Fact],
) -> Line:
    shown = record.shown(fact)
    # A copy may lack the site or the number of the dose.
    statements = record.valid_statements(fact) if fact.resource_type == "Immunization" else [shown]
    all_details = [
        *(detail for statement in statements for detail in details(statement.content)),
        *(note for statement in record.valid_statements(fact) for note in notes(statement.content)),
    ]
    is_device = fact.resource_type in ("Device", "DeviceUseStatement")
    written = clinical_date_text(shown) if is_device else date_or_none_stated(shown)
    named = next((each for each in statements if merge_rules().vaccines.has_name(each.content)), shown)
    what = [strong(text(name(record, named))), *([text(written)] if written else [])]
    until = _use_end(shown.content) if fact.resource_type == "DeviceUseStatement" else NEVER
    return Line(fact, what, [text(each) for each in dict.fromkeys(all_details) if each], until, others=copies)


def _any_has_status(record: SummaryRecord, fact: Fact, statuses: set[str]) -> bool:
    return any(text_at(statement.content, "status") in statuses for statement in record.valid_statements(fact))


def _all_have_status(record: SummaryRecord, fact: Fact, statuses: set[str]) -> bool:
    return all(text_at(statement.content, "status") in statuses for statement in record.valid_statements(fact))


def _in_use(record: SummaryRecord, fact: Fact) -> bool:
    content = record.shown(fact).content
    return _any_has_status(record, fact, {"active", "on-hold", "intended", ""}) and _use_end(content) > record.at


def _use_end(content: Mapping[str, Any]) -> datetime:
    bounds = text_at(content, "timingTiming", "repeat", "boundsPeriod", "end")
    known = parse_date(text_at(content, "timingPeriod", "end") or bounds)
    return known.end if known else NEVER


def _vaccine(_: SummaryRecord, statement: Statement) -> str:
    # UK Core codes the vaccination as a procedure; the product may be coded as unknown.
    procedure = (
        concept_text(found.get("valueCodeableConcept"))
        for found in extensions(statement.content, "VaccinationProcedure")
    )
    return concept_text(statement.content.get("vaccineCode")) or next(procedure, "") or name_of(statement.content)


def _dose(content: Mapping[str, Any]) -> Iterator[str]:
    for found in extensions(content, "VaccinationProcedure"):
        yield concept_text(found.get("valueCodeableConcept"))
    yield from _dose_numbers(content)
    yield ", ".join(concept_texts(content, "site"))
    if lot := text_at(content, "lotNumber"):
        yield f"Batch {lot}"


def _dose_numbers(content: Mapping[str, Any]) -> Iterator[str]:
    for protocol in objects_at(content, "protocolApplied"):
        doses = [number_text(protocol.get("doseNumberPositiveInt")) or text_at(protocol, "doseNumberString")]
        yield " ".join(["Dose", *doses, *concept_texts(protocol, "targetDisease")]) if any(doses) else ""


def _declined(content: Mapping[str, Any]) -> Iterator[str]:
    status = text_at(content, "status")
    why = [_REASONS.get(each, each) for each in concept_texts(content, "statusReason")]
    yield ": ".join(each for each in [_STATUS_WORDS.get(status, ""), *why] if each)
    yield from _dose_numbers(content)
    yield from concept_texts(content, "reasonCode")


def _procedure(content: Mapping[str, Any]) -> Iterator[str]:
    yield ": ".join(each for each in [_unless_completed(content), *concept_texts(content, "statusReason")] if each)
    yield ", ".join(concept_texts(content, "bodySite"))
    yield period_text(content.get("performedPeriod"))
    yield ", ".join(concept_texts(content, "outcome"))
    if complications := concept_texts(content, "complication"):
        yield f"Complication: {', '.join(complications)}"


def _device(record: SummaryRecord, statement: Statement) -> str:
    for reference in objects_at(statement.content, "device"):
        found = record.resolve(statement, reference)
        own_name = text_at(found, "deviceName", "name") or (name_of(found) if found else "")
        if device_name := own_name or text_at(reference, "display"):
            return device_name
    return text_at(statement.content, "deviceName", "name") or name_of(statement.content)


def _device_details(content: Mapping[str, Any]) -> Iterator[str]:
    yield unusual_status(content)
    yield from concept_texts(content, "safety")
    yield from notes(content)


def _assessment(content: Mapping[str, Any]) -> Iterator[str]:
    yield text_at(content, "summary")
    yield from (found for found in values_at(content, "finding", "basis") if isinstance(found, str))
    yield ", ".join(concept_texts(content, "finding", "itemCodeableConcept"))
    yield _unless_completed(content)


def _unless_completed(content: Mapping[str, Any]) -> str:
    """The status in words; "" for a completed one, which is what a reader expects."""
    status = unusual_status(content)
    return "" if status == "Completed" else status
