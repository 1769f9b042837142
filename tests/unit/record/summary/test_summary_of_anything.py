"""No content of a source breaks a summary, and a summary follows from visible statements alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.record.summary.written import (
    GP,
    HOSPITAL,
    NOW,
    code,
    entries,
    known,
    said,
    sections,
    term,
    texts,
)

from onestory.record.freshness.domain import Freshness
from onestory.record.merge.engine import merge
from onestory.record.merge.model import Fact, MergedRecord, Statement
from onestory.record.merge.rules import merge_rules
from onestory.record.summary.document import summarise
from onestory.record.summary.page import summary_page

TYPES = (
    "AllergyIntolerance",
    "CarePlan",
    "ClinicalImpression",
    "Composition",
    "Condition",
    "Consent",
    "Device",
    "DeviceUseStatement",
    "DiagnosticReport",
    "DocumentReference",
    "Flag",
    "Immunization",
    "List",
    "Medication",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Procedure",
)
ELEMENTS = (
    "activity", "abatementDateTime", "authoredOn", "bodySite", "category", "clinicalStatus", "code", "component",
    "conclusion", "contained", "content", "courseOfTherapyType", "criticality", "date", "dateTime", "description",
    "deviceName", "device", "dosage", "dosageInstruction", "doNotPerform", "effectiveDateTime", "effectivePeriod",
    "emptyReason", "extension", "finding", "identifier", "medicationCodeableConcept", "note", "medicationReference",
    "occurrenceDateTime", "onsetAge", "onsetDateTime", "patient", "performedPeriod", "period", "protocolApplied",
    "reaction", "recordedDate", "referenceRange", "scope", "section", "severity", "status", "statusReason",
    "subject", "summary", "text", "timingPeriod", "title", "type", "vaccineCode", "valueQuantity", "valueRange",
    "valueString", "valueCodeableConcept", "verificationStatus", "dispenseRequest",
)  # fmt: skip
INSIDE = (
    "code", "coding", "display", "div", "end", "extension", "high", "low", "manifestation", "period", "reference",
    "repeat", "start", "substance", "system", "text", "timing", "unit", "url", "value", "valueCodeableConcept",
    "valueDateTime", "doseAndRate", "doseQuantity", "detail", "attachment",
)  # fmt: skip
# Codes and dates that rules depend on, so that odd content reaches those rules.
WORDS = st.sampled_from(
    [
        *("active", "resolved", "refuted", "completed", "stopped", "acute", "nilknown", "not-done", "vital-signs"),
        *(
            "81338-6",
            "http://loinc.org",
            "http://snomed.info/sct",
            "450476008",
            "716186003",
            "entered-in-error",
            "current",
        ),
        *(
            "2026",
            "2026-11",
            "2026-11-22",
            "2026-13-45",
            "9999-12-31",
            "0001-01-01T00:00:00+14:00",
            "2026-11-22T09:00:00",
        ),
        *(
            "2026-02-29",
            "2016-12-31T23:59:60Z",
            "a day in May",
            "",
            "\u202e\u0000\ud83d\ude00",
            "#a",
            "Medication/x-a81001",
        ),
    ]
)
SCALARS = st.one_of(
    WORDS,
    st.text(max_size=8),
    st.booleans(),
    st.none(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INSIDE), inner, max_size=4),
    max_leaves=8,
)
CONTENT = st.dictionaries(st.sampled_from(ELEMENTS), VALUES, max_size=8)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
STATEMENTS = st.lists(
    st.tuples(st.sampled_from(TYPES), st.sampled_from([GP, HOSPITAL, "X9"]), MOMENTS, CONTENT), max_size=8
)


def statements(drawn: list[tuple[str, str, datetime, dict[str, Any]]]) -> list[Statement]:
    """The drawn statements. Their content passed once through JSON: a lone surrogate cannot be published."""
    clean = json.loads(json.dumps([content for *_, content in drawn]).encode().decode(errors="replace"))
    return [
        said(kind, f"x{place}", organisation, recorded=at, **content)
        for place, ((kind, organisation, at, _), content) in enumerate(zip(drawn, clean, strict=True))
    ]


@settings(deadline=None, max_examples=120)
@given(drawn=STATEMENTS, at=MOMENTS)
def test_no_content_breaks_a_summary(drawn: list[tuple[str, str, datetime, dict[str, Any]]], at: datetime) -> None:
    every = statements(drawn)
    facts = MergedRecord(tuple(Fact(each.shared_id, each.resource_type, (each,), (), ()) for each in every))

    summary = summarise(known(*every, merged=facts), at)

    assert json.loads(summary.document)["resourceType"] == "Bundle"
    assert summary_page(summary.document)
    assert summary.valid_until is None or summary.valid_until > at
    # An IPS document refers only to resources that it carries.
    carried = {entry["fullUrl"] for entry in json.loads(summary.document)["entry"]}
    for section in sections(summary).values():
        assert {each["reference"] for each in section.get("entry", [])} <= carried


@settings(deadline=None, max_examples=30)
@given(drawn=STATEMENTS, chance=st.randoms(use_true_random=False))
def test_the_same_is_said_in_whatever_order_it_is_known(
    drawn: list[tuple[str, str, datetime, dict[str, Any]]], chance: Any
) -> None:
    every = statements(drawn)
    fresh = [Freshness(each, "system", NOW, NOW) for each in (GP, HOSPITAL, "X9")]
    first = summarise(known(*every, freshness=fresh), NOW)
    chance.shuffle(every)
    chance.shuffle(fresh)

    assert summarise(known(*every, freshness=fresh), NOW) == first


@settings(deadline=None, max_examples=30)
@given(drawn=STATEMENTS, hidden=STATEMENTS)
def test_what_is_hidden_leaves_no_trace(
    drawn: list[tuple[str, str, datetime, dict[str, Any]]], hidden: list[tuple[str, str, datetime, dict[str, Any]]]
) -> None:
    visible = statements(drawn)
    # The input may hold bytes that a reader may not see. The summary does not use them.
    unseen = [replace(each, shared_id=f"hidden-{each.shared_id}") for each in statements(hidden)]
    alone = known(*visible)
    beside = replace(alone, contents={**alone.contents, **known(*unseen, merged=MergedRecord(())).contents})

    assert summarise(beside, NOW) == summarise(alone, NOW)


@settings(deadline=None, max_examples=30)
@given(drawn=STATEMENTS)
def test_until_it_is_no_longer_valid_it_says_the_same(drawn: list[tuple[str, str, datetime, dict[str, Any]]]) -> None:
    knowledge = known(*statements(drawn))
    now = summarise(knowledge, NOW)
    last = (now.valid_until or NOW + timedelta(days=36_500)) - timedelta(microseconds=1)

    assert summarise(knowledge, last).digest == now.digest
    assert summarise(knowledge, NOW + (last - NOW) / 2).digest == now.digest


def test_a_very_long_text_is_cut_and_says_so_and_its_resource_has_all_of_it() -> None:
    long = "x" * 1_000_000
    summary = summarise(known(said("Condition", "long", code={"text": "Asthma"}, note=[{"text": long}])), NOW)

    assert "more characters are in the resource" in texts(summary)["Problems"]
    assert long.encode() in summary.document
    assert len(texts(summary)["Problems"]) < 10_000


def test_resources_that_refer_to_each_other_in_a_circle_are_carried_once() -> None:
    one = said(
        "Practitioner", "one", extension=[{"url": "urn:x", "valueReference": {"reference": "Practitioner/two-a81001"}}]
    )
    two = said(
        "Practitioner", "two", extension=[{"url": "urn:x", "valueReference": {"reference": "Practitioner/one-a81001"}}]
    )
    asthma = said(
        "Condition", "asthma", code={"text": "Asthma"}, recorder={"reference": f"Practitioner/{one.shared_id}"}
    )

    document = json.loads(summarise(known(one, two, asthma), NOW).document)

    carried = [entry["resource"]["id"] for entry in document["entry"][3:]]
    assert carried == [asthma.shared_id, one.shared_id, two.shared_id]


def test_thousands_of_statements_are_all_counted_and_make_a_document_that_can_be_read() -> None:
    weight = {"text": "Weight"}
    every = [
        said("Observation", f"o{place}", status="final", effectiveDateTime="2026-11-01", valueString="60", code=weight)
        for place in range(3000)
    ]
    every += [
        said("Procedure", f"p{place}", status="completed", code={"text": f"Done {place}"}) for place in range(2000)
    ]
    facts = MergedRecord(tuple(Fact(each.shared_id, each.resource_type, (each,), (), ()) for each in every))

    summary = summarise(known(*every, merged=facts), NOW)

    assert len(entries(sections(summary)["30954-2"])) == 5
    assert "More is held: 2995" in texts(summary)["Results"]
    assert "More is held: 1950" in texts(summary)["Procedures"]


def test_a_conflict_of_thousands_is_not_written_out_beside_each_of_them() -> None:
    nuts = [said("AllergyIntolerance", f"n{place}", code={"text": f"Nut {place}"}) for place in range(1000)]
    none = said("AllergyIntolerance", "none", HOSPITAL, code=code("716186003", "No known allergy"))
    knowledge = replace(known(*nuts, none), merged=merge([*nuts, none], merge_rules()))

    document = summarise(knowledge, NOW).document

    assert b"and 995 more" in document
    assert len(document) < 5_000_000


def test_a_fact_that_one_of_its_sources_withdrew_stands_by_the_others() -> None:
    withdrawn = said(
        "AllergyIntolerance",
        "one",
        GP,
        code=code("372687004", "Amoxicillin"),
        verificationStatus=term("allergyintolerance-verification", "entered-in-error"),
    )
    stands = said("AllergyIntolerance", "two", HOSPITAL, code=code("372687004", "Amoxicillin"))
    fact = Fact(
        withdrawn.shared_id, "AllergyIntolerance", (withdrawn, stands), (), (), withdrawn=(withdrawn.shared_id,)
    )

    summary = summarise(known(withdrawn, stands, merged=MergedRecord((fact,))), NOW)

    assert entries(sections(summary)["48765-2"]) == [stands.shared_id]
    assert "Harbour Street Surgery has withdrawn this" in texts(summary)["Allergies and intolerances"]
