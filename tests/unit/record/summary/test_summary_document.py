"""The document of a summary: its envelope, the resources that it carries, and the content that its digest covers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
from tests.unit.record.summary.written import (
    GP,
    HOSPITAL,
    NOW,
    PATIENT,
    code,
    entries,
    known,
    resources,
    said,
    sections,
    stored,
    term,
    told,
)

from onestory.record.freshness.domain import Freshness
from onestory.record.person.composition import NhsNumbers, compose
from onestory.record.person.statements import PatientStatement, Trust
from onestory.record.summary.document import summarise
from onestory.record.summary.page import summary_page

LATER = NOW + timedelta(hours=1)
AMOXICILLIN = said("AllergyIntolerance", "amoxicillin", code=code("372687004", "Amoxicillin"))
ASTHMA = said(
    "Condition", "asthma", code=code("195967001", "Asthma"), clinicalStatus=term("condition-clinical", "active")
)


def test_of_whom_nothing_is_known_the_required_sections_are_unavailable_and_never_nil_known() -> None:
    found = sections(summarise(known(), NOW))

    for required in ("48765-2", "10160-0", "11450-4"):
        assert found[required]["emptyReason"]["coding"][0]["code"] == "unavailable"


def test_it_begins_with_its_composition_and_the_person() -> None:
    composition, patient, author, *_ = resources(summarise(known(ASTHMA), NOW))

    assert composition["type"]["coding"][0]["code"] == "60591-5"
    assert patient["id"] == PATIENT["id"]
    assert author["resourceType"] == "Device"


def test_a_resource_is_carried_byte_for_byte() -> None:
    weight = said(
        "Observation",
        "weight",
        status="final",
        code={"text": "Weight"},
        valueQuantity={"value": 1},
        issued=NOW.isoformat(),
    )
    exactly = stored(weight).replace(b'"value": 1', b'"value": 71.500')
    knowledge = replace(known(weight), contents={weight.shared_id: exactly})

    summary = summarise(knowledge, NOW)

    assert exactly in summary.document
    assert "71.500" in sections(summary)["30954-2"]["text"]["div"]


def test_the_digest_knows_no_clock_and_no_address() -> None:
    here = known(ASTHMA, freshness=[Freshness(GP, "system", NOW, NOW)])
    there = replace(here, base_url="https://other.example/fhir", freshness=[Freshness(GP, "system", LATER, LATER)])

    assert summarise(here, NOW).digest == summarise(there, LATER).digest
    assert summarise(here, NOW).document != summarise(there, LATER).document


def test_the_digest_does_not_change_when_the_same_is_said_by_another_event() -> None:
    served = stored(ASTHMA).replace(b'"meta": {}', b'"meta":{"versionId":"1","lastUpdated":"2026-01-01T00:00:00Z"}')
    again = served.replace(b'"versionId":"1"', b'"versionId":"2"')
    one, other = (replace(known(ASTHMA), contents={ASTHMA.shared_id: each}) for each in (served, again))

    assert summarise(one, NOW).digest == summarise(other, NOW).digest


def test_the_digest_changes_when_a_source_falls_silent() -> None:
    heard = known(ASTHMA, freshness=[Freshness(GP, "system", NOW, NOW)])
    silent = replace(heard, freshness=[Freshness(GP, "system", NOW, NOW, stale=True)])

    assert summarise(heard, NOW).digest != summarise(silent, NOW).digest


def test_it_is_valid_until_the_first_thing_changes_by_itself() -> None:
    known_until = NOW + timedelta(days=3)
    acute = said(
        "MedicationRequest",
        "acute",
        status="active",
        intent="order",
        medicationCodeableConcept={"text": "Amoxicillin"},
        courseOfTherapyType={"coding": [{"code": "acute"}]},
        authoredOn="2025-11-23",
    )

    assert summarise(known(ASTHMA), NOW).valid_until is None
    assert summarise(known(ASTHMA, freshness_valid_until=known_until), NOW).valid_until == known_until
    valid_until = summarise(known(acute, freshness_valid_until=known_until), NOW).valid_until
    assert valid_until is not None
    assert valid_until.date().isoformat() == "2026-11-24"
    # The content changes at exactly this time.
    just_before = summarise(known(acute), valid_until - timedelta(microseconds=1))
    assert just_before.digest == summarise(known(acute), NOW).digest != summarise(known(acute), valid_until).digest


def test_what_nobody_said_of_the_person_is_marked_as_unknown() -> None:
    patient = resources(summarise(known(patient={"resourceType": "Patient", "id": "9990000018"}), NOW))[1]

    assert patient["_birthDate"]["extension"][0]["valueCode"] == "unknown"
    assert patient["name"] == [{"text": "Name not known"}]


def test_a_language_that_ips_does_not_take_is_said_in_words_and_keeps_its_code() -> None:
    language = {"coding": [{"system": "https://fhir.hl7.org.uk/CodeSystem/UKCore-HumanLanguage", "code": "q4"}]}
    communication = [{"language": {**language, "text": "Makaton"}, "preferred": True}]

    patient = resources(summarise(known(patient={**PATIENT, "communication": communication}), NOW))[1]

    (spoken,) = patient["communication"]
    assert (spoken["language"]["text"], spoken["preferred"]) == ("Makaton", True)
    assert spoken["language"]["extension"][0]["valueCodeableConcept"]["coding"] == language["coding"]


def test_business_identifiers_are_kept() -> None:
    numbered = said(
        "Condition", "asthma", code=code("195967001", "Asthma"), identifier=[{"system": "urn:x", "value": "7"}]
    )

    (condition,) = [each for each in resources(summarise(known(numbered), NOW)) if each["resourceType"] == "Condition"]

    assert condition["identifier"] == [{"system": "urn:x", "value": "7"}]


def test_what_is_entered_in_error_is_not_shown() -> None:
    wrong = said(
        "AllergyIntolerance",
        "wrong",
        code=code("372687004", "Amoxicillin"),
        verificationStatus=term("allergyintolerance-verification", "entered-in-error"),
    )
    summary = summarise(known(wrong), NOW)

    assert entries(sections(summary)["48765-2"]) == []
    assert b"Amoxicillin" not in summary.document


def test_what_a_resource_needs_to_be_read_goes_along_and_nothing_else() -> None:
    tablets = said("Medication", "tablets", code=code("318902004", "Ramipril 5mg capsules"))
    other = said("Medication", "other", code={"text": "Warfarin"})
    request = said(
        "MedicationRequest",
        "ramipril",
        status="active",
        intent="order",
        medicationReference={"reference": f"Medication/{tablets.shared_id}"},
        authoredOn="2026-01-02",
    )
    summary = summarise(known(tablets, other, request), NOW)

    carried = [each["id"] for each in resources(summary)[3:]]
    assert carried == [request.shared_id, tablets.shared_id]
    assert "Ramipril 5mg capsules" in sections(summary)["10160-0"]["text"]["div"]


def test_a_conflict_is_shown_with_both_sides_and_both_resources() -> None:
    one = said("AllergyIntolerance", "one", GP, code=code("372687004", "Amoxicillin"))
    other = said(
        "AllergyIntolerance",
        "other",
        HOSPITAL,
        code=code("372687004", "Amoxicillin"),
        verificationStatus=term("allergyintolerance-verification", "refuted"),
    )
    summary = summarise(known(one, other), NOW)

    allergies = sections(summary)["48765-2"]
    assert set(entries(allergies)) == {one.shared_id, other.shared_id}
    assert "Sources disagree" in allergies["text"]["div"]
    told_of = allergies["text"]["div"]
    assert "Harbour Street Surgery says the person has it, sent 22 Nov 2026" in told_of
    assert "Vale Royal Hospital says it was ruled out, sent 22 Nov 2026" in told_of


def test_a_fact_of_several_sources_is_one_line_that_names_them_and_the_rule() -> None:
    one = said("Condition", "one", GP, code=code("195967001", "Asthma"), onsetDateTime="2019-05-20")
    other = said(
        "Condition",
        "other",
        HOSPITAL,
        code={**code("195967001", "Asthma"), "text": "ASTHMA (PMH)"},
        onsetDateTime="2019-05-20",
    )
    summary = summarise(known(one, other), NOW)

    problems = sections(summary)["11450-4"]
    assert len(entries(problems)) == 1
    for part in (
        "Harbour Street Surgery, sent 22 Nov 2026",
        "Vale Royal Hospital",
        "Same condition in both records (matched by computer)",
    ):
        assert part in problems["text"]["div"]
    (fact,) = problems["entry"][0]["extension"]
    assert [each["url"] for each in fact["extension"]].count("source") == 2


def test_sources_are_listed_with_what_is_wrong_with_them() -> None:
    troubled = Freshness(GP, "emis", NOW, NOW, missing=2, parked=1, stale=True)

    summary = told(ASTHMA, freshness=[troubled])

    heard = summary["Sources, and how fresh they are"]
    for part in (
        "Harbour Street Surgery",
        "Silent for longer",
        "2 of its statements are missing",
        "1 of its statements",
    ):
        assert part in heard
    assert "Some sources are silent" in summary["Please note"]


def test_one_notice_says_that_something_is_withheld() -> None:
    assert "withheld" in told(ASTHMA, withheld=True)["Please note"]
    assert "Please note" not in told(ASTHMA)


def test_a_death_heads_the_summary() -> None:
    patient = {**PATIENT, "deceasedDateTime": "2026-10-02"}

    assert "died on 2 Oct 2026" in told(ASTHMA, patient=patient)["Please note"]


def test_the_page_says_what_the_document_says_and_fetches_nothing() -> None:
    shown = summary_page(summarise(known(AMOXICILLIN, ASTHMA), NOW).document).decode()

    assert shown.startswith('<!DOCTYPE html><html lang="en-GB">')
    for part in ("Amina Okafor", "NHS number 999 000 0018", "Amoxicillin", "Asthma", "Harbour Street Surgery"):
        assert part in shown
    for fetching in ("src=", "href=", "url(", "<script", "<link", "@import"):
        assert fetching not in shown


def test_what_a_source_writes_is_text_and_never_markup() -> None:
    attack = '<script>alert(1)</script><img src=x onerror="alert(1)">'
    summary = summarise(known(said("Condition", "attack", code={"text": attack}, note=[{"text": attack}])), NOW)

    shown = summary_page(summary.document).decode()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown


def test_the_order_in_which_facts_are_known_does_not_matter() -> None:
    knowledge = known(AMOXICILLIN, ASTHMA, freshness=[Freshness(each, "system", NOW, NOW) for each in (GP, HOSPITAL)])
    turned = replace(
        knowledge,
        merged=replace(knowledge.merged, facts=knowledge.merged.facts[::-1]),
        contents=dict(reversed(list(knowledge.contents.items()))),
        freshness=knowledge.freshness[::-1],
    )

    assert summarise(turned, NOW) == summarise(knowledge, NOW)
    assert json.loads(summarise(knowledge, NOW).document)["type"] == "document"


def test_a_clinicians_judgement_is_attributed_until_it_is_taken_back() -> None:
    one, other = said("Condition", "one", code={"text": "Asthma"}), said("Condition", "two", code={"text": "Wheeze"})
    about = [{"type": "source", "resource": {"reference": f"Condition/{each.shared_id}"}} for each in (one, other)]
    same = said("Linkage", "same", HOSPITAL, active=True, item=about)
    undone = said("Linkage", "same", HOSPITAL, active=False, item=about)

    assert "A clinician of Vale Royal Hospital judged that these are the same" in told(one, other, same)["Problems"]
    assert "judged" not in told(one, other, undone)["Problems"]


def test_of_a_person_without_an_nhs_number_that_is_said() -> None:
    patient = {"resourceType": "Patient", "id": "e5fcvzulx3jojnkeqlrobvosye", "name": [{"family": "Okafor"}]}

    assert "NHS number not known" in summary_page(summarise(known(patient=patient), NOW).document).decode()


def test_a_death_that_is_the_word_of_one_source_is_shown_as_its_word() -> None:
    patient = shared_patient({"deceasedDateTime": "2026-10-02"})
    notice = told(ASTHMA, patient=patient)["Please note"]

    assert "Vale Royal Hospital says that this person died on 2 Oct 2026." in notice
    assert "No demographic authority has said so." in notice
    assert "recorded as having died" not in notice


def test_the_authoritys_not_deceased_is_shown_beside_the_word() -> None:
    patient = {**shared_patient({"deceasedBoolean": True}), "deceasedBoolean": False}

    assert (
        "The demographic authority says that this person has not died." in told(ASTHMA, patient=patient)["Please note"]
    )


def test_languages_of_one_source_have_its_name() -> None:
    interpreter = {"url": "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired", "valueBoolean": True}
    stated = {"communication": [{"language": {"text": "Welsh"}}], "extension": [interpreter]}
    page = summary_page(summarise(known(ASTHMA, patient=shared_patient(stated)), NOW).document).decode()

    assert "Vale Royal Hospital says: Languages: Welsh" in page
    assert "Vale Royal Hospital says: Interpreter required" in page


def shared_patient(stated: dict[str, Any]) -> dict[str, Any]:
    """The shared Patient of which one hospital states these elements."""
    content = orjson.dumps({"resourceType": "Patient", "id": "p", **stated})
    statement = PatientStatement("p", "e", "RZ3", 1, NOW, content)
    patient: dict[str, Any] = orjson.loads(compose(NhsNumbers("9990000018"), [statement], Trust()).content)
    return {**PATIENT, "extension": patient["extension"]}
