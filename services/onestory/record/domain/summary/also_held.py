"""What is held and has no section here: counted, so that nobody takes its silence for there being none."""

from __future__ import annotations

from collections import Counter

from onestory.record.domain.merge.fact import Fact
from onestory.record.domain.summary.about_me import is_about_me
from onestory.record.domain.summary.narrative import listed, paragraph, text
from onestory.record.domain.summary.plans import is_plan
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.referrals import is_shown
from onestory.record.domain.summary.section import OWN, Section

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


def also_held(record: Record) -> Section | None:
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


def _is_left_out(record: Record, fact: Fact) -> bool:
    if fact.resource_type in _ELSEWHERE or fact.resource_type in _NOT_CLINICAL:
        return False
    return not (is_plan(record, fact) or is_about_me(record, fact) or is_shown(record, fact))
