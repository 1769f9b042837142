"""Immunisations, procedures, devices and clinical assessments; newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary import wording
from onestory.record.summary.clinical_dates import clinical_date_text, date_or_none_stated
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.values import period_text
from onestory.record.summary.wording import name_of, notes, status_of
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


class _Omitted(NamedTuple):
    """How many facts a section leaves out by their status, and a phrase that says why."""

    number: int
    why: str


_NONE_OMITTED = _Omitted(0, "")


def immunisations(record: SummaryRecord) -> Section | None:
    """The immunisations that were given; one without a status counts as given."""
    known = list(record.facts("Immunization"))
    given = [fact for fact in known if _any_has_status(record, fact, {"completed", ""})]
    omitted = _Omitted(len(known) - len(given), "were not given")
    return _newest_section(record, _IMMUNISATIONS, given, _vaccine, _dose, omitted)


def procedures(record: SummaryRecord) -> Section | None:
    """The procedures that were done or begun."""
    not_begun = {"not-done", "preparation"}
    known = list(record.facts("Procedure"))
    done = [fact for fact in known if not _all_have_status(record, fact, not_begun)]
    omitted = _Omitted(len(known) - len(done), "were not done, or not begun")
    return _newest_section(record, _PROCEDURES, done, _name, _procedure, omitted)


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
    omitted = _Omitted(len(uses) + len(own) - len(shown), "are not in use")
    return _newest_section(record, _DEVICES, shown, _device, lambda content: iter([status_of(content)]), omitted)


def assessments(record: SummaryRecord) -> Section | None:
    """The clinical impressions."""
    facts = list(record.facts("ClinicalImpression"))
    return _newest_section(record, _ASSESSMENTS, facts, _name, _assessment)


def _name(_: SummaryRecord, statement: Statement) -> str:
    return name_of(statement.content)


def _newest_section(
    record: SummaryRecord,
    definition: SectionDefinition,
    facts: Sequence[Fact],
    name: Callable[[SummaryRecord, Statement], str],
    details: Callable[[Mapping[str, Any]], Iterator[str]],
    omitted: _Omitted = _NONE_OMITTED,
) -> Section | None:
    shown = wording.newest_of_each_kind(record, wording.newest_first(record, facts), MAX_LINES)
    lines = [_line(record, fact, name, details) for fact in shown]
    more = len(facts) - len(lines)
    remarks = [
        f"More is held: {more} are not shown here (older ones of a kind that is shown first)." if more else "",
        wording.omitted_remark(*omitted),
    ]
    return build_section(record, definition, [Group("Newest first", lines)], remarks=remarks)


def _line(
    record: SummaryRecord,
    fact: Fact,
    name: Callable[[SummaryRecord, Statement], str],
    details: Callable[[Mapping[str, Any]], Iterator[str]],
) -> Line:
    shown = record.shown(fact)
    all_details = [
        *details(shown.content),
        *(note for statement in record.valid_statements(fact) for note in notes(statement.content)),
    ]
    is_device = fact.resource_type in ("Device", "DeviceUseStatement")
    date = clinical_date_text(shown) if is_device else date_or_none_stated(shown)
    what = [strong(text(name(record, shown))), *([text(date)] if date else [])]
    until = _use_end(shown.content) if fact.resource_type == "DeviceUseStatement" else NEVER
    return Line(fact, what, [text(each) for each in dict.fromkeys(all_details) if each], until)


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
    for protocol in objects_at(content, "protocolApplied"):
        doses = [number_text(protocol.get("doseNumberPositiveInt")) or text_at(protocol, "doseNumberString")]
        yield " ".join(["Dose", *doses, *concept_texts(protocol, "targetDisease")]) if any(doses) else ""
    yield ", ".join(concept_texts(content, "site"))
    if lot := text_at(content, "lotNumber"):
        yield f"Batch {lot}"


def _procedure(content: Mapping[str, Any]) -> Iterator[str]:
    yield status_of(content)
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


def _assessment(content: Mapping[str, Any]) -> Iterator[str]:
    yield text_at(content, "summary")
    yield from (found for found in values_at(content, "finding", "basis") if isinstance(found, str))
    yield ", ".join(concept_texts(content, "finding", "itemCodeableConcept"))
    yield status_of(content)
