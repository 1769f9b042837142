"""Deaths that other types tell; marks on contacts and in remarks; stays left open; what became of procedures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, said, told

from onestory.record.merge.model import Statement

IN_PATIENT = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"}
RESTRICTED = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]}


def stay(local_id: str, organisation: str, start: str, sent: datetime | None = None, **more: Any) -> Statement:
    elements = {"status": "in-progress", "class": IN_PATIENT, "period": {"start": start}, **more}
    return said("Encounter", local_id, organisation, **({"recorded": sent} if sent else {}), **elements)


def ended(disposition: dict[str, Any]) -> Statement:
    period = {"start": "2026-11-10T09:00:00Z", "end": "2026-11-20T02:00:00Z"}
    return stay(
        "e", HOSPITAL, "", status="finished", period=period, hospitalization={"dischargeDisposition": disposition}
    )


DIED = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/discharge-disposition", "code": "exp"}]}


@pytest.mark.parametrize(
    "statement",
    [
        ended(DIED),
        ended({"text": "Patient died"}),
        said("Procedure", "p", status="completed", code={"text": "Verification of expected death"}),
        said("DocumentReference", "d", status="current", type={"text": "Medical certificate of cause of death"}),
        said("DocumentReference", "d", status="current", content=[{"attachment": {"title": "Death notification"}}]),
    ],
)
def test_a_death_is_told_first_whatever_tells_it(statement: Statement) -> None:
    assert "No demographic authority has said so" in told(statement)["Please note"]


@pytest.mark.parametrize(
    "statement",
    [
        ended({"text": "Usual place of residence"}),
        said("DocumentReference", "d", status="current", type={"text": "Death certificate of husband"}),
        said("Procedure", "p", status="not-done", code={"text": "Verification of expected death"}),
    ],
)
def test_what_tells_of_no_death_of_the_person_is_no_death(statement: Statement) -> None:
    assert "Please note" not in told(statement)


def test_a_restricted_contact_or_team_has_its_mark() -> None:
    team = said("CareTeam", "t", status="active", name="Gender clinic", meta=RESTRICTED)
    friend = said("RelatedPerson", "r", HOSPITAL, name=[{"text": "Ann Case"}], meta=RESTRICTED)

    assert told(team)["Contacts and teams"].count("RESTRICTED: do not discuss") == 1
    assert told(friend)["Contacts and teams"].count("RESTRICTED: do not discuss") == 1


def test_a_restricted_name_in_a_remark_has_its_mark() -> None:
    old: dict[str, Any] = {
        "status": "final",
        "code": {"text": "HIV test"},
        "valueString": "Positive",
        "specimen": {"display": "Serum"},
    }
    result = said("Observation", "o", effectiveDateTime="2019-01-01", meta=RESTRICTED, **old)
    missed = said(
        "Appointment", "a", status="noshow", description="GUM clinic", start="2026-11-01T09:00:00Z", meta=RESTRICTED
    )
    flag = said("Flag", "f", status="inactive", code={"text": "Blood-borne virus"}, meta=RESTRICTED)

    assert "HIV test [RESTRICTED] Positive" in told(result)["Results"]
    assert "GUM clinic [RESTRICTED]" in told(missed)["Next appointments"]
    assert "Blood-borne virus [RESTRICTED]" in told(flag)["Alerts"]


LONG_AGO = datetime(2024, 2, 2, tzinfo=UTC)


def test_a_stay_that_was_left_open_is_not_told_beside_a_later_one() -> None:
    old, now = stay("old", GP, "2024-02-01", LONG_AGO), stay("now", HOSPITAL, "2026-11-20")
    sections = told(old, now)

    assert sections["Please note"].count("In hospital now") == 1
    assert "Not closed by its source" in sections["Stays and recent contacts"]


def test_two_stays_of_which_both_were_heard_of_lately_are_both_told() -> None:
    both = (stay("leave", GP, "2026-10-01", status="onleave"), stay("now", HOSPITAL, "2026-11-20"))

    assert told(*both)["Please note"].count("In hospital now") == 2


def test_a_lone_stay_that_was_not_heard_of_for_long_says_so() -> None:
    assert "last heard of on 2 Feb 2024: check" in told(stay("old", GP, "2024-02-01", LONG_AGO))["Please note"]
    assert "last heard of" not in told(stay("now", GP, "2026-11-20"))["Please note"]


def test_a_planned_operation_is_not_among_what_was_declined() -> None:
    planned = said("Procedure", "p", status="preparation", code={"text": "Hernia repair"})
    refused = said("Procedure", "r", status="not-done", code={"text": "Colonoscopy"}, statusReason={"text": "Refused"})
    procedures = told(planned, refused)["Procedures"]

    assert procedures.index("Planned, not yet done") < procedures.index("Hernia") < procedures.index("Declined or not")
    assert "Not done: Refused" in procedures


def test_a_procedure_that_was_stopped_says_why_and_a_done_one_says_nothing_more() -> None:
    stopped = said("Procedure", "p", status="stopped", code={"text": "ERCP"}, statusReason={"text": "Bradycardia"})
    done = said("Procedure", "d", status="completed", code={"text": "Appendicectomy"})
    procedures = told(stopped, done)["Procedures"]

    assert "Stopped: Bradycardia" in procedures
    assert "Completed" not in procedures


def test_a_device_says_whether_it_is_safe() -> None:
    device = said(
        "Device",
        "d",
        status="active",
        patient={"reference": "Patient/1"},
        type={"text": "Pacemaker"},
        safety=[{"text": "MR unsafe"}],
    )

    assert "MR unsafe" in told(device)["Devices"]


def test_a_procedure_and_its_copy_elsewhere_are_one_line() -> None:
    def done(local_id: str, organisation: str, **more: Any) -> Statement:
        elements = {"code": {"text": "Splenectomy"}, "performedDateTime": "2010-05-01", **more}
        return said("Procedure", local_id, organisation, status="completed", **elements)

    one = told(done("a", GP), done("b", HOSPITAL))["Procedures"]
    assert one.count("Splenectomy") == 1
    assert "Harbour Street Surgery" in one
    assert "Vale Royal Hospital" in one
    timed = done("b", HOSPITAL, performedDateTime="2010-05-01T09:00:00Z")
    assert told(done("a", GP), timed)["Procedures"].count("Splenectomy") == 1
    for other in (
        done("b", GP),
        done("b", HOSPITAL, performedDateTime="2010-05-02"),
        done("b", HOSPITAL, bodySite=[{"text": "Left"}]),
    ):
        assert told(done("a", GP), other)["Procedures"].count("Splenectomy") == 2
    years = [done(each, source, performedDateTime="2010") for each, source in (("a", GP), ("b", HOSPITAL))]
    assert told(*years)["Procedures"].count("Splenectomy") == 2


def test_a_stay_of_which_a_source_told_last_week_is_told_beside_an_emergency() -> None:
    ward = stay("ward", GP, "2026-03-01", datetime(2026, 11, 15, tzinfo=UTC))

    assert told(ward, stay("now", HOSPITAL, "2026-11-20"))["Please note"].count("In hospital now") == 2


def test_what_is_also_held_says_its_outcome() -> None:
    risk = {"text": "Risk of suicide"}
    sections = told(
        said("RiskAssessment", "r", status="final", code=risk, prediction=[{"qualitativeRisk": {"text": "High"}}]),
        said("AdverseEvent", "a", actuality="actual", event={"text": "Fall on ward"}),
        said("ResearchSubject", "s", status="on-study", study={"display": "Trial of drug X"}),
    )

    assert "Risk of suicide: High" in sections["Also held"]
    assert "Fall on ward" in sections["Also held"]
    assert "Trial of drug X" in sections["Also held"]


def test_an_appointment_that_two_sources_hold_is_one_line() -> None:
    def booked(local_id: str, organisation: str, start: str) -> Statement:
        return said("Appointment", local_id, organisation, status="booked", description="Renal clinic", start=start)

    at = "2026-12-02T10:00:00Z"
    assert told(booked("a", GP, at), booked("b", HOSPITAL, at))["Next appointments"].count("Renal clinic") == 1
    other = booked("b", HOSPITAL, "2026-12-02T11:00:00Z")
    assert told(booked("a", GP, at), other)["Next appointments"].count("Renal clinic") == 2


def test_a_stay_in_a_care_home_is_no_stay_in_hospital() -> None:
    notice = told(stay("r", GP, "2026-11-20", type=[{"text": "Respite care"}]))["Please note"]

    assert "Staying elsewhere now" in notice
    assert "In hospital" not in notice


def test_an_appointment_that_the_person_declined_says_so() -> None:
    who = [{"actor": {"reference": "Patient/9990000018"}, "status": "declined"}]
    visit = said("Appointment", "a", status="booked", description="Visit", start="2026-12-02", participant=who)

    assert "The person has declined it" in told(visit)["Next appointments"]


def test_a_document_that_another_one_replaces_is_counted_only() -> None:
    old = said("DocumentReference", "old", status="current", description="First letter", date="2026-11-18")
    relates = [{"code": "replaces", "target": {"reference": "DocumentReference/old-a81001"}}]
    new = said("DocumentReference", "new", status="current", description="Corrected letter", relatesTo=relates)
    documents = told(old, new)["Last letters and documents"]

    assert "Corrected letter" in documents
    assert "First letter" not in documents
    assert "1 that are earlier versions or copies" in documents


def test_a_vaccination_that_was_refused_says_why_in_words() -> None:
    why = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "PATOBJ"}]}
    refused = said("Immunization", "i", status="not-done", vaccineCode={"text": "MMR"}, statusReason=why)

    assert "Not done: patient objection" in told(refused)["Immunisations"]
