"""What was done: immunisations, procedures, devices, clinical assessments; newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary import wording
from onestory.record.summary.model import MergedRecord
from onestory.record.summary.moments import NEVER, moment
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, section
from onestory.record.summary.wording import name_of, notes, period_of, status_of
from onestory.shared.fhir.json import all_named, each, extensions, first, named, number, objects

MOST = 50
"""Lines of one of these sections: the newest of each kind first."""
_IMMUNISATIONS = SectionDefinition("11369-6", "Immunisations", types=frozenset(["Immunization"]))
_PROCEDURES = SectionDefinition("47519-4", "Procedures", types=frozenset(["Procedure"]))
_DEVICES = SectionDefinition("46264-8", "Devices", types=frozenset(["DeviceUseStatement"]))
_ASSESSMENTS = SectionDefinition(
    "47420-5", "Functional status and clinical assessments", types=frozenset(["ClinicalImpression"])
)


def immunisations(record: MergedRecord) -> Section | None:
    """Those that were given; one without a status too."""
    given = [fact for fact in record.facts("Immunization") if _says(record, fact, {"completed", ""})]
    return _newest(record, _IMMUNISATIONS, given, _vaccine, _dose)


def procedures(record: MergedRecord) -> Section | None:
    """Those that were done, or were begun."""
    never = {"not-done", "preparation"}
    done = [fact for fact in record.facts("Procedure") if not _says_only(record, fact, never)]
    return _newest(record, _PROCEDURES, done, lambda _, said: name_of(said.content), _procedure)


def devices(record: MergedRecord) -> Section | None:
    """Devices in use; one of which nobody states its use is narrative alone."""
    used = [fact for fact in record.facts("DeviceUseStatement") if _in_use(record, fact)]
    named_by_use = {
        first(reference, "reference").rpartition("/")[2]
        for fact in used
        for reference in objects(record.shown(fact).content, "device")
    }
    own = [
        fact
        for fact in record.facts("Device")
        if not any(said.shared_id in named_by_use for said in fact.members)
        and "patient" in record.shown(fact).content
        and _says(record, fact, {"active", "unknown", ""})
    ]
    return _newest(record, _DEVICES, [*used, *own], _device, lambda content: iter([status_of(content)]))


def assessments(record: MergedRecord) -> Section | None:
    """Clinical impressions."""
    facts = list(record.facts("ClinicalImpression"))
    return _newest(record, _ASSESSMENTS, facts, lambda _, said: name_of(said.content), _assessment)


def _newest(
    record: MergedRecord,
    about: SectionDefinition,
    facts: Sequence[Fact],
    name: Callable[[MergedRecord, Statement], str],
    details: Callable[[Mapping[str, Any]], Iterator[str]],
) -> Section | None:
    shown = wording.foremost(record, wording.newest_first(record, facts), MOST)
    lines = [_line(record, fact, name, details) for fact in shown]
    more = len(facts) - len(lines)
    remarks = [f"More is held: {more} are not shown here (older ones of a kind that is shown first)."] if more else []
    return section(record, about, [Group("Newest first", lines)], remarks=remarks)


def _line(
    record: MergedRecord,
    fact: Fact,
    name: Callable[[MergedRecord, Statement], str],
    details: Callable[[Mapping[str, Any]], Iterator[str]],
) -> Line:
    shown = record.shown(fact)
    told = [*details(shown.content), *(note for said in record.standing(fact) for note in notes(said.content))]
    date = wording.in_words(shown)
    what = [strong(text(name(record, shown))), *([text(date)] if date else [])]
    until = _ends(shown.content) if fact.resource_type == "DeviceUseStatement" else NEVER
    return Line(fact, what, [text(each) for each in dict.fromkeys(told) if each], until)


def _says(record: MergedRecord, fact: Fact, statuses: set[str]) -> bool:
    return any(first(said.content, "status") in statuses for said in record.standing(fact))


def _says_only(record: MergedRecord, fact: Fact, statuses: set[str]) -> bool:
    return all(first(said.content, "status") in statuses for said in record.standing(fact))


def _in_use(record: MergedRecord, fact: Fact) -> bool:
    content = record.shown(fact).content
    return _says(record, fact, {"active", "on-hold", "intended", ""}) and _ends(content) > record.at


def _ends(content: Mapping[str, Any]) -> datetime:
    known = moment(first(content, "timingPeriod", "end"))
    return known.end if known else NEVER


def _vaccine(_: MergedRecord, said: Statement) -> str:
    # UK Core says what was given by its procedure; the product may be coded as unknown.
    procedure = (named(found.get("valueCodeableConcept")) for found in extensions(said.content, "VaccinationProcedure"))
    return named(said.content.get("vaccineCode")) or next(procedure, "") or name_of(said.content)


def _dose(content: Mapping[str, Any]) -> Iterator[str]:
    for found in extensions(content, "VaccinationProcedure"):
        yield named(found.get("valueCodeableConcept"))
    for protocol in objects(content, "protocolApplied"):
        doses = [number(protocol.get("doseNumberPositiveInt")) or first(protocol, "doseNumberString")]
        yield " ".join(["Dose", *doses, *all_named(protocol, "targetDisease")]) if any(doses) else ""
    yield ", ".join(all_named(content, "site"))
    if lot := first(content, "lotNumber"):
        yield f"Batch {lot}"


def _procedure(content: Mapping[str, Any]) -> Iterator[str]:
    yield status_of(content)
    yield ", ".join(all_named(content, "bodySite"))
    yield period_of(content.get("performedPeriod"))
    yield ", ".join(all_named(content, "outcome"))


def _device(record: MergedRecord, said: Statement) -> str:
    names = ("deviceName", "name"), ("display",)
    for reference in objects(said.content, "device"):
        found = record.resolved(said, reference)
        if told := first(found, *names[0]) or (name_of(found) if found else "") or first(reference, *names[1]):
            return told
    return first(said.content, *names[0]) or name_of(said.content)


def _assessment(content: Mapping[str, Any]) -> Iterator[str]:
    yield first(content, "summary")
    yield from (found for found in each(content, "finding", "basis") if isinstance(found, str))
    yield ", ".join(all_named(content, "finding", "itemCodeableConcept"))
    yield status_of(content)
