"""What heads a summary when there is cause: plans that disagree, a death, what is withheld, sources that are old."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.freshness.domain import Freshness
from onestory.record.merge.model import Fact
from onestory.record.summary import moments, sources
from onestory.record.summary.model import MergedRecord, ended
from onestory.record.summary.narrative import Row, listed, paragraph, strong, table, text
from onestory.record.summary.section import OWN, Section
from onestory.record.summary.sections.about_me import is_about_me
from onestory.record.summary.sections.plans import disagreements, is_plan, is_shown

# Who speaks of the person, and how fresh that is: honest about silence, gaps and what could not be used.

_HEADS = ("Source", "Last said something of this person", "Last heard of at all", "To note")


def sources_heard(record: MergedRecord) -> Section | None:
    """One line for each source. When it was heard is a clock of ours, and no content."""
    lines = sorted(record.known.freshness, key=lambda each: (each.organisation, each.system))
    if not lines:
        return None
    rows = [_row(record, line, clocks=True) for line in lines]
    timeless = [_row(record, line, clocks=False) for line in lines]
    return Section(
        "sources",
        "Sources, and how fresh they are",
        table("Sources", _HEADS, rows) + paragraph("What a source did not send is not in this summary."),
        system=OWN,
        timeless=table("Sources", _HEADS, timeless),
    )


def troubled(line: Freshness) -> bool:
    """Whether what this source says may be old or incomplete."""
    return bool(line.stale or line.missing or line.parked)


def _row(record: MergedRecord, line: Freshness, *, clocks: bool) -> Row:
    heard = [[moments.clock(each)] if clocks else [] for each in (line.said_at, line.heard_at)]
    name = [text(record.named(line.organisation)), text(line.system)]
    return Row((name, *heard, list(_remarks(record, line))))


def _remarks(record: MergedRecord, line: Freshness) -> Iterator[str]:
    if line.stale:
        yield strong("Silent for longer than is expected of it: what it says may be old.")
    if line.missing:
        yield strong(f"{line.missing} of its statements are missing.")
    if line.parked:
        yield strong(f"{line.parked} of its statements could not be used yet.")
    if line.former_until and ended(line.former_until) <= record.at:
        yield strong(f"Former practice, until {moments.day(line.former_until)}.")


def notices(record: MergedRecord) -> Section | None:
    """The section, or nothing where nothing has to be said first."""
    said = [*_plans(record), *_of_patient(record.patient), *_of_record(record)]
    return Section("notices", "Please note", listed(said), system=OWN) if said else None


def _plans(record: MergedRecord) -> Iterator[str]:
    for conflict in disagreements(record):
        yield f"{strong('Plans for emergency care disagree.')} {'<br/>'.join(sources.disagreement(record, conflict))}"


def _of_patient(patient: Mapping[str, Any]) -> Iterator[str]:
    died = patient.get("deceasedDateTime")
    if died or patient.get("deceasedBoolean") is True:
        on = f" on {text(moments.shown(died))}" if died else ""
        yield strong(f"This person is recorded as having died{on}.")
    links = patient.get("link")
    if isinstance(links, list) and any(isinstance(each, dict) and each.get("type") == "replaced-by" for each in links):
        yield strong("This NHS number was replaced by another one.")


def _of_record(record: MergedRecord) -> Iterator[str]:
    if record.known.withheld:
        yield "Some of this record is withheld from you. What is shown here may not be all that is known."
    if any(troubled(line) for line in record.known.freshness):
        yield "Some sources are silent, or statements of them are missing: see the sources at the end."


# What is held and has no section here: counted, so that nobody takes its silence for there being none.

_ELSEWHERE = frozenset(
    [
        "AllergyIntolerance",
        "CarePlan",
        "ClinicalImpression",
        "Condition",
        "Device",
        "DeviceUseStatement",
        "DiagnosticReport",
        "Flag",
        "Immunization",
        "List",
        "MedicationRequest",
        "MedicationStatement",
        "Observation",
        "Procedure",
    ]
)
"""Types with a section, which counts what it leaves out."""
_NOT_CLINICAL = frozenset(
    [
        "BodyStructure",
        "HealthcareService",
        "Location",
        "Medication",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
        "Specimen",
    ]
)


def also_held(record: MergedRecord) -> Section | None:
    """How many of each type; nothing where all is shown."""
    found = Counter(fact.resource_type for fact in record.everything() if _is_left_out(record, fact))
    if not found:
        return None
    counted = listed(f"{text(kind)}: {number}" for kind, number in sorted(found.items()))
    return Section(
        "also-held",
        "Also held",
        paragraph("The record has these too. They are not in this summary.") + counted,
        system=OWN,
    )


def _is_left_out(record: MergedRecord, fact: Fact) -> bool:
    if fact.resource_type in _ELSEWHERE or fact.resource_type in _NOT_CLINICAL:
        return False
    return not (is_plan(record, fact) or is_about_me(record, fact) or is_shown(record, fact))
