"""A correction empties a referral, a named clinician stays with the team, and an open referral can be amended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.referral.made import CLOCKS, PAIN, PRACTICE, SENT, after, doing, done, sent

from onestory.referral.lifecycle.amendment import Amendment, amend, prioritise
from onestory.referral.lifecycle.creation import TeamReference, parse_service_request
from onestory.referral.lifecycle.model import Action, Reason, Referral, Side
from onestory.referral.lifecycle.render import service_request, task
from onestory.referral.worklist.ended_claims import EndedClaim, end_claim
from onestory.shared.errors import Conflict, Forbidden, Unprocessable

R, T = Side.REQUESTER, Side.RECIPIENT
STORY: dict[str, Any] = {
    "code": {"text": "HIV clinic"},
    "reasonCode": [{"text": "HIV"}],
    "note": [{"text": "of somebody else"}],
    "supportingInfo": [{"display": "secret"}],
    "patientInstruction": "secret",
    "intent": "order",
}
CLINICIAN = {"type": "Practitioner", "identifier": {"system": "https://fhir.nhs.uk/Id/sds-user-id", "value": "555"}}
REASON = Reason("", {"text": "She cannot walk any more"})


def request(**elements: Any) -> Any:
    """A request about the same person."""
    body = {"resourceType": "ServiceRequest", "status": "active", "intent": "order", **elements}
    body.setdefault("subject", {"reference": "Patient/9000000009"})
    return parse_service_request(body, team=TeamReference("", "", ""))


def test_a_correction_leaves_nothing_of_the_story() -> None:
    working = after(sent(**STORY), (Action.ACCEPT, T), (Action.START, T))
    working = replace(working, outputs=({"type": {"text": "outcome"}, "valueString": "secret output"},))

    corrected = done(working, Action.CORRECT, R).referral

    assert set(service_request(corrected)) == {
        "intent",
        "status",
        "subject",
        "requester",
        "performer",
        "priority",
        "authoredOn",
    }
    assert "output" not in task(corrected)
    assert "secret" not in f"{service_request(corrected)}{task(corrected)}"


def test_a_named_clinician_stays_with_the_team_and_goes_with_it() -> None:
    team = {"reference": "HealthcareService/physio"}
    named = sent(performer=[team, CLINICIAN, {"reference": "PractitionerRole/one"}, {"display": "Anybody"}])

    assert service_request(named)["performer"] == [
        {**team, "type": "HealthcareService"},
        CLINICIAN,
        {"reference": "PractitionerRole/one"},
    ]
    elsewhere = done(named, Action.REDIRECT, R, to=PAIN).referral
    assert [each["reference"] for each in service_request(elsewhere)["performer"]] == ["HealthcareService/pain"]


def test_a_more_urgent_referral_is_due_sooner_and_a_less_urgent_one_needs_a_reason() -> None:
    later = doing(SENT + timedelta(hours=1), number=5)
    routine = sent(priority="routine")

    urgent = prioritise(routine, "urgent", None, {R}, later, CLOCKS)
    assert urgent.referral.priority == "urgent"
    assert urgent.referral.due_at is not None
    assert routine.due_at is not None
    assert urgent.referral.due_at < routine.due_at
    assert urgent.referral.service_request["note"][-1]["text"] == "Priority changed from routine to urgent"
    assert {notice.reason for notice in urgent.notices} == {"referral-priority-changed"}
    with pytest.raises(Unprocessable, match="parameter reason"):
        prioritise(urgent.referral, "routine", None, {T}, later, CLOCKS)
    calm = prioritise(urgent.referral, "routine", REASON, {T}, later, CLOCKS).referral
    assert calm.service_request["note"][-1]["text"].endswith("She cannot walk any more")
    assert calm.due_at == urgent.referral.due_at


@pytest.mark.parametrize(("priority", "error"), [("routine", Conflict), ("soon", Unprocessable), ("", Unprocessable)])
def test_a_priority_has_to_be_another_one(priority: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        prioritise(sent(priority="routine"), priority, REASON, {R}, doing(), CLOCKS)


def test_the_requester_amends_and_the_team_hears_of_it() -> None:
    referral = replace(sent(**STORY, basedOn=[{"reference": "ServiceRequest/first"}]), based_on="first")
    new = request(reasonCode=[{"text": "Falls"}], priority="stat", basedOn=[{"reference": "ServiceRequest/other"}])

    change = amend(referral, Amendment(new, "She fell again", ({"reference": "Condition/c"},)), {R}, doing(), CLOCKS)

    body = service_request(change.referral)
    assert (body["reasonCode"], body["priority"]) == ([{"text": "Falls"}], "stat")
    assert "HIV" not in str(body)
    assert body["note"][0]["text"] == "She fell again"
    assert body["supportingInfo"] == [{"reference": "Condition/c"}]
    assert body["basedOn"] == [{"reference": "ServiceRequest/first"}]
    assert (change.referral.status, change.referral.holder) == (referral.status, PRACTICE)
    assert [notice.reason for notice in change.notices if notice.recipient == "recipient"] == ["referral-amended"]


def test_an_amendment_is_by_the_requester_of_an_open_referral_and_about_its_person() -> None:
    referral: Referral = sent()
    note = Amendment(note="More")
    other = Amendment(request(subject={"reference": "Patient/9990000018"}))
    advice = {"coding": [{"system": "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars", "code": "a8t1"}]}

    with pytest.raises(Forbidden):
        amend(referral, note, {T}, doing(), CLOCKS)
    with pytest.raises(Conflict):
        amend(after(referral, (Action.CANCEL, R)), note, {R}, doing(), CLOCKS)
    for wrong in (Amendment(), other, Amendment(request(category=[advice]))):
        with pytest.raises(Unprocessable):
            amend(referral, wrong, {R}, doing(), CLOCKS)


def test_a_claim_ends_once_with_a_notice_to_the_team() -> None:
    claimed = replace(after(sent(), (Action.ACCEPT, T)), claimed_by="nurse")
    claim = EndedClaim(claimed.referral_id, claimed.recipient, "nurse")

    change = end_claim(claimed, doing(subject="clock"), claim)

    assert change is not None
    assert (change.referral.claimed_by, change.reason) == ("", "role-ended")
    assert [(notice.party, notice.reason) for notice in change.notices] == [(claimed.recipient, "referral-claim-ended")]
    assert end_claim(change.referral, doing(), claim) is None
    assert end_claim(replace(claimed, claimed_by="other"), doing(), claim) is None
