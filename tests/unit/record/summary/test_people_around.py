"""The page says whom to ring, where the person is now, what comes next, and which letters were written last."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, Json, code, known, said, sections, told

from onestory.record.summary.document import summarise

PERSON = {"resourceType": "Patient", "id": "9990000018", "name": [{"family": "Okafor"}]}
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONTACTS, STAYS, LETTERS = "Contacts and teams", "Stays and recent contacts", "Last letters and documents"
APPOINTMENTS = "Next appointments"


def phone(number: str) -> list[Json]:
    return [{"system": "phone", "value": number}]


def related(name: str, *roles: str, local_id: str = "r", **more: Any) -> Any:
    words = [{"text": role} for role in roles]
    return said("RelatedPerson", local_id, HOSPITAL, name=[{"text": name}], relationship=words, **more)


def encounter(kind: str, status: str = "in-progress", local_id: str = "e", **more: Any) -> Any:
    more["class"] = {"system": ACT, "code": kind}
    return said("Encounter", local_id, HOSPITAL, status=status, **more)


def appointment(start: str, status: str = "booked", local_id: str = "a", **more: Any) -> Any:
    return said("Appointment", local_id, HOSPITAL, status=status, start=start, **more)


def letter(title: str, date: str, local_id: str, organisation: str = HOSPITAL, **more: Any) -> Any:
    content = [{"attachment": {"title": title}}]
    return said("DocumentReference", local_id, organisation, status="current", date=date, content=content, **more)


def test_contacts_stand_with_role_and_phone_the_most_useful_first() -> None:
    wife = related("Ada Cole", "Wife", telecom=phone("01632 960001"))
    attorney = related("Zoe Cole", "LPA for health and welfare", local_id="r2", telecom=phone("01632 960002"))
    shown = told(wife, attorney)[CONTACTS]
    assert shown.index("Zoe Cole") < shown.index("Ada Cole")
    assert "01632 960002" in shown
    assert "RelatedPerson" not in "".join(told(wife).values())


def test_one_person_in_two_sources_is_one_contact_and_two_with_other_phones_stay_apart() -> None:
    ice = {"relationship": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0131", "code": "C"}]}]}
    patient = {**PERSON, "contact": [{**ice, "name": {"text": "Ada Cole"}, "telecom": phone("01632 960001")}]}
    same = told(related("Ada Cole", "Daughter", telecom=phone("01632960001")), patient=patient)[CONTACTS]
    assert same.count("Ada Cole") == 1
    assert "Emergency contact" in same
    assert "Daughter" in same
    other = told(related("Ada Cole", "Daughter", telecom=phone("01632 960009")), patient=patient)[CONTACTS]
    assert other.count("Ada Cole") == 2


def test_the_word_of_a_source_on_a_contact_is_shown_with_its_name() -> None:
    value = {
        "url": "value",
        "extension": [
            {"url": "name", "valueHumanName": {"text": "Ben Cole"}},
            {"url": "relationship", "valueCodeableConcept": {"text": "Son"}},
            {"url": "telecom", "valueContactPoint": {"system": "phone", "value": "01632 960005"}},
        ],
    }
    head = [
        {"url": "element", "valueCode": "contact"},
        {"url": "source", "valueReference": {"identifier": {"value": HOSPITAL}}},
        {"url": "statement", "valueReference": {"reference": "Patient/x"}},
    ]
    word = {"url": "https://onestory.nhs.uk/StructureDefinition/stated-by-source", "extension": [*head, value]}
    shown = told(related("Ada", "Wife"), patient={**PERSON, "extension": [word]})[CONTACTS]
    for part in ("Ben Cole", "Son", "01632 960005", "Vale Royal Hospital"):
        assert part in shown


def test_a_contact_that_ended_is_counted_only() -> None:
    shown = told(related("Ada Cole", "Wife", active=False))[CONTACTS]
    assert "Ada" not in shown
    assert "1 that are no longer contacts or teams" in shown


def test_a_key_worker_is_a_contact_with_the_phone_of_the_team() -> None:
    worker = {"role": [{"text": "Care co-ordinator"}], "member": {"display": "Jo Bell"}}
    porter = {"role": [{"text": "Porter"}], "member": {"display": "Al Day"}}
    team = said("CareTeam", "t", status="active", name="North", participant=[worker, porter], telecom=phone("01632 1"))
    contacts, teams = told(team)[CONTACTS].split("Teams that care for the person")
    assert "Jo Bell" in contacts
    assert "01632 1" in contacts
    assert "Al Day" not in contacts
    assert "Al Day (Porter)" in teams


def test_whom_a_decision_names_is_a_contact() -> None:
    actor = {"role": {"text": "Attorney"}, "reference": {"display": "Zoe Cole"}}
    consent = said("Consent", "n", status="active", scope={"text": "adr"}, provision={"actor": [actor]})
    assert "Zoe Cole" in told(consent)[CONTACTS]


@pytest.mark.parametrize(
    ("stay", "notice"),
    [
        (encounter("IMP", period={"start": "2026-11-20"}), "In hospital now: Vale Royal Hospital, since 20 Nov 2026."),
        (encounter("IMP", "onleave", period={"start": "2026-11-20"}), "on leave from the ward"),
        (encounter("EMER", period={"start": "2026-11-22"}), "In an emergency department now"),
        (encounter("HH", type=[{"text": "Hospital at Home (frailty)"}]), "On a virtual ward now"),
        (encounter("VR", location=[{"location": {"display": "Virtual Ward 2"}}]), "Virtual Ward 2"),
    ],
)
def test_where_the_person_is_now_stands_at_the_top(stay: Any, notice: str) -> None:
    page = told(stay)
    assert notice in page["Please note"]
    assert "Now" in page[STAYS]


@pytest.mark.parametrize(
    "contact",
    [
        [encounter("AMB", period={"start": "2026-11-22"})],
        [encounter("IMP", "finished", period={"start": "2026-11-18", "end": "2026-11-20"})],
        [encounter("IMP", "planned", period={"start": "2026-12-02"})],
        [encounter("IMP", period={"start": "2026-11-18", "end": "2026-11-20"})],
        [encounter("EMER", period={"start": "2026-11-10"})],
        [
            encounter("IMP", period={"start": "2026-01-01"}),
            encounter("IMP", "finished", "e2", period={"start": "2026-05-01", "end": "2026-05-04"}),
        ],
    ],
)
def test_no_notice_where_the_person_is_at_home(contact: list[Any]) -> None:
    page = told(*contact)
    assert "Please note" not in page
    assert STAYS in page


def test_a_stay_that_ended_lately_is_named_and_an_old_one_counted() -> None:
    period = {"start": "2026-11-18", "end": "2026-11-20"}
    lately = encounter("IMP", "finished", period=period, reasonCode=[{"text": "Acute kidney injury"}])
    old = encounter("IMP", "finished", "e2", period={"start": "2020-01-01", "end": "2020-01-02"})
    shown = told(lately, old)[STAYS]
    assert "18 Nov 2026 to 20 Nov 2026" in shown
    assert "Acute kidney injury" in shown
    assert "More is held: 1 that" in shown


def test_the_summary_changes_when_the_emergency_attendance_is_too_old() -> None:
    at_door = encounter("EMER", period={"start": "2026-11-22T08:00:00Z"})
    assert summarise(known(at_door, patient=PERSON), NOW).valid_until == NOW + timedelta(hours=71)


def test_the_next_appointments_come_first_and_past_ones_are_counted() -> None:
    late = appointment("2026-12-09T10:00:00Z", description="Clinic")
    soon = appointment("2026-12-01T10:00:00Z", local_id="a2", description="Catheter change")
    past = appointment("2026-10-01T10:00:00Z", local_id="a3", description="Old visit")
    off = appointment("2026-12-05T10:00:00Z", "cancelled", "a4", description="Scan")
    shown = told(late, soon, past, off)[APPOINTMENTS]
    assert shown.index("Catheter change") < shown.index("Clinic") < shown.index("Cancelled") < shown.index("Scan")
    assert "Old visit" not in shown
    assert "More is held: 1 that" in shown


def test_the_last_five_documents_have_lines_and_older_ones_are_named() -> None:
    letters = [letter(f"Letter {day}", f"2026-11-0{day}", f"d{day}") for day in range(1, 8)]
    shown = told(*letters)[LETTERS]
    assert "Letter 7" in shown.split("Older:")[0]
    assert "Older: Letter 2 (2 Nov 2026); Letter 1 (1 Nov 2026)." in shown


def test_a_document_stands_once_with_its_author() -> None:
    same: Json = {"masterIdentifier": {"system": "urn:x", "value": "1"}, "author": [{"display": "Dr Ames"}]}
    page = told(letter("Clinic", "2026-11-01", "d1", **same), letter("Clinic", "2026-11-01", "d2", GP, **same))
    assert page[LETTERS].count("Dr Ames") == 1


def test_a_plan_is_no_letter() -> None:
    plan = letter("ReSPECT", "2026-11-01", "d1", type=code("1382601000000107", "ReSPECT form"))
    assert LETTERS not in told(plan)


def test_contacts_and_letters_stand_above_results_and_after_medicines() -> None:
    found = [
        related("Ada", "Wife"),
        encounter("IMP"),
        letter("Clinic", "2026-11-01", "d1"),
        said("Observation", "o", code=code("1", "Potassium"), effectiveDateTime="2026-11-20", valueString="4.1"),
    ]
    codes = list(sections(summarise(known(*found), NOW)))
    places = [codes.index(each) for each in ("10160-0", "contacts", "stay", "documents", "30954-2")]
    assert places == sorted(places)


def test_entries_are_included_but_no_document_is() -> None:
    summary = summarise(known(related("Ada", "Wife"), encounter("IMP"), letter("Clinic", "2026-11-01", "d1")), NOW)
    types = {each["resource"]["resourceType"] for each in json.loads(summary.document)["entry"]}
    assert {"RelatedPerson", "Encounter"} <= types
    assert "DocumentReference" not in types


@needs_clinical_cases
def test_the_shared_cases_show_people_and_places() -> None:
    contact = shown_case("74")[CONTACTS]
    assert contact.count("Ngozi Okafor") == 1
    assert "Attorney, health and welfare" in contact
    assert "01632 960123" in contact
    assert "01632 960777" in shown_case("75")[CONTACTS]
    assert "Discharge summary 27 Nov 2026: AKI, ramipril stopped" in shown_case("78")[LETTERS]
    assert "In hospital now: RZ3, Ward 7, since 29 Nov 2026" in shown_case("79")["Please note"]
