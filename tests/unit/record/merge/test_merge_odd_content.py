"""Merging accepts any content that an older intake let in, and gives the same answer each time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hostile.odd_values import ODD

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.rules import merge_rules

RULES = merge_rules()
TYPES = """
    AllergyIntolerance Condition MedicationRequest MedicationStatement Medication Immunization Observation Specimen
    Linkage Basic CarePlan Flag Consent Encounter NoSuchType
"""
ELEMENTS = """
    code vaccineCode type category identifier status clinicalStatus verificationStatus reaction criticality
    onsetDateTime onsetPeriod abatementDateTime abatementPeriod bodySite method specimen medicationCodeableConcept
    medicationReference contained authoredOn effectiveDateTime effectivePeriod dosage dosageInstruction
    dispenseRequest dateAsserted doNotPerform occurrenceDateTime extension modifierExtension lotNumber valueQuantity
    valueString valueCodeableConcept valueRange component item active description title note intent scope
"""
PARTS = """
    coding system code text display value unit start end reference identifier timing repeat frequency period
    periodUnit doseAndRate doseQuantity low high substance severity resource url valueReference valueCodeableConcept
    id validityPeriod valueQuantity
"""
WORDS = """
    http://snomed.info/sct 91936005 716186003 https://tools.ietf.org/html/rfc4122 active refuted d # #m Condition/s0
    left 2026 9999 2026-02-31 2026-11-22 0000-00-00 9999-12-31 0001-01-01T00:00:00+14:00 2026-11-22T09:00:00Z
    2026-11-22T25:00:00Z 9999-12-31T23:59:59.999999999-12:00 2026-11-22T09:00
    https://onestory.nhs.uk/CodeSystem/record-judgement keep-apart
    https://onestory.nhs.uk/StructureDefinition/kept-apart
"""
PENICILLIN = {"coding": [{"system": "http://snomed.info/sct", "code": "764146007"}]}
DAY = "2026-11-22"
SOUND = {
    "code": PENICILLIN,
    "vaccineCode": PENICILLIN,
    "medicationCodeableConcept": PENICILLIN,
    "identifier": [{"system": "https://tools.ietf.org/html/rfc4122", "value": "n1"}],
    "status": "active",
    **dict.fromkeys(("onsetDateTime", "effectiveDateTime", "occurrenceDateTime", "authoredOn"), DAY),
}
"""Elements that make two statements of any type alike. Odd values are drawn among them."""

leaves = st.one_of(
    st.sampled_from(WORDS.split()), st.sampled_from(ODD), st.text(max_size=5), st.floats(), st.integers()
)
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(PARTS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)
contents = st.dictionaries(st.sampled_from(ELEMENTS.split()), values, max_size=8)


def statement(place: int, kind: str, content: dict[str, Any]) -> Statement:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return Statement(f"s{place}", kind, "RYE" if place % 2 else "A81001", "system", UUID(int=place), at, at, content)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TYPES.split()), contents), min_size=1, max_size=6))
def test_no_content_breaks_a_record(told: list[tuple[str, dict[str, Any]]]) -> None:
    statements = [statement(place, kind, content) for place, (kind, content) in enumerate(told)]

    merged = merge(statements, RULES)

    members = [member.shared_id for fact in merged.facts for member in fact.members]
    assert sorted(members + [each.statement.shared_id for each in merged.judgements]) == [
        each.shared_id for each in statements
    ]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TYPES.split()), contents, contents)
def test_oddities_in_what_two_sources_say_alike_break_nothing(
    kind: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    told = [statement(0, kind, {**SOUND, **one}), statement(1, kind, {**SOUND, **other})]

    assert merge(told, RULES) == merge(told[::-1], RULES)


def test_references_in_a_circle_end() -> None:
    loop = {"code": {}, "ingredient": [{"itemReference": {"reference": "Medication/s0"}}]}
    order = {"medicationReference": {"reference": "MedicationRequest/s1"}, "status": "active"}

    merged = merge([statement(0, "Medication", loop), statement(1, "MedicationRequest", order)], RULES)

    assert [fact.id for fact in merged.facts] == ["s0", "s1"]


def test_very_long_and_very_deep_values_are_read() -> None:
    deep: Any = "left"
    for _ in range(900):
        deep = [deep]
    content = {"code": {"text": "x" * 1_000_000}, "bodySite": deep, "onsetDateTime": "2" * 100_000, "reaction": deep}

    merged = merge([statement(0, "Condition", content), statement(1, "Condition", content)], RULES)

    assert len(merged.facts) == 2


def test_observations_of_very_many_components_are_one_where_they_are_alike_to_the_letter() -> None:
    def result(*values: int) -> dict[str, Any]:
        parts = [{"code": code(f"c{place}"), "valueInteger": value} for place, value in enumerate(values)]
        return {"code": code("panel"), "effectiveDateTime": "2026-11-22T09:00:00Z", "component": parts}

    def code(of: str) -> dict[str, Any]:
        return {"coding": [{"system": "http://loinc.org", "code": of}]}

    # A search for each component among all others would take an hour.
    long = range(50_000)
    alike = merge([statement(0, "Observation", result(*long)), statement(1, "Observation", result(*long))], RULES)
    other = [statement(0, "Observation", result(*long)), statement(1, "Observation", result(*reversed(long)))]

    assert len(alike.facts) == 1
    assert len(merge(other, RULES).facts) == 2
