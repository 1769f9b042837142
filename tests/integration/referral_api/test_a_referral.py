"""A referral from the request to its end, over HTTP, on real Kafka and PostgreSQL."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.people import new_nhs_number
from tests.referrals import FHIR, REASON, act, new_team, read, refer, service_request, task_of
from tests.stack import Services

HOLDER = "https://onestory.nhs.uk/StructureDefinition/referral-holder"
NEXT = "https://onestory.nhs.uk/StructureDefinition/referral-next-actor"


def extension(task: dict[str, Any], url: str) -> Any:
    return next((each["valueReference"] for each in task.get("extension", ()) if each["url"] == url), None)


def test_a_referral_is_sent_accepted_worked_on_and_completed(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    assert sent.status_code == 201, sent.text
    task_id, tag = task_of(sent), sent.headers["ETag"]
    states = []

    for action in ("receive", "accept", "start", "complete"):
        answer = act(nurses, task_id, action, tag)
        assert answer.status_code == 200, answer.text
        tag = answer.headers["ETag"]
        states.append(answer.json()["status"])

    assert states == ["received", "accepted", "in-progress", "completed"]
    request = surgery.get(f"/fhir/ServiceRequest/{sent.json()['id']}").json()
    assert request["status"] == "completed"
    assert request["reasonCode"] == [{"text": "Leg ulcer"}]


def test_the_requester_stays_responsible_until_the_team_accepts(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    before = read(surgery, task_of(sent)).json()

    after = act(nurses, task_of(sent), "accept", sent.headers["ETag"]).json()

    assert extension(before, HOLDER)["identifier"]["value"] == "A81001"
    assert extension(before, NEXT)["reference"] == f"HealthcareService/{team}"
    assert extension(after, HOLDER)["reference"] == f"HealthcareService/{team}"


def test_a_version_that_is_no_longer_current_is_refused_and_the_current_one_is_shown(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    accepted = act(nurses, task_of(sent), "accept", sent.headers["ETag"])

    refused = act(surgery, task_of(sent), "cancel", sent.headers["ETag"], REASON)

    assert refused.status_code == 412, refused.text
    assert refused.headers["ETag"] == accepted.headers["ETag"]
    assert refused.json()["contained"][0]["status"] == "accepted"
    assert read(surgery, task_of(sent)).json()["status"] == "accepted"


def test_a_change_without_a_version_is_refused(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))

    refused = nurses.post(f"/fhir/Task/{task_of(sent)}/$accept", headers=FHIR, content=b'{"resourceType":"Parameters"}')

    assert refused.status_code == 428, refused.text


def test_a_trial_run_of_a_referral_or_a_change_is_refused_and_does_nothing(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent, trial = refer(surgery, service_request(new_nhs_number(), team)), {**FHIR, "X-Dry-Run": "true"}
    changed = {**trial, "If-Match": sent.headers["ETag"]}

    created = surgery.post("/fhir/ServiceRequest", headers=trial, json=service_request(new_nhs_number(), team))
    accepted = nurses.post(f"/fhir/Task/{task_of(sent)}/$accept", headers=changed, content=b"")
    message = surgery.post("/fhir/$process-message", headers=trial, content=b"")

    assert [answer.status_code for answer in (created, accepted, message)] == [400, 400, 400]
    assert {answer.json()["issue"][0]["code"] for answer in (created, accepted, message)} == {"not-supported"}
    assert "REC_BAD_REQUEST" in message.text
    assert read(surgery, task_of(sent)).headers["ETag"] == sent.headers["ETag"]


def test_a_stranger_learns_nothing(services: Services, surgery: httpx.Client, team: str) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))

    with services.client("RZ9", network="elsewhere") as stranger:
        known = act(stranger, task_of(sent), "accept", sent.headers["ETag"])
        unknown = act(stranger, task_of(sent)[:-4] + "aaaa", "accept", sent.headers["ETag"])

        assert (known.status_code, known.json()) == (404, unknown.json())
        assert read(stranger, task_of(sent)).status_code == 404


def test_a_draft_is_nobodys_business_until_it_is_sent(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    draft = refer(surgery, service_request(new_nhs_number(), team, status="draft"))
    assert read(nurses, task_of(draft)).status_code == 404

    sent = act(surgery, task_of(draft), "request", draft.headers["ETag"])

    assert sent.json()["status"] == "requested"
    assert read(nurses, task_of(draft)).status_code == 200


def test_who_has_passed_a_referral_on_may_repeat_the_request_and_does_it_once(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    to = {"reference": f"HealthcareService/{new_team(services, 'RZ2')}"}
    said = {"resourceType": "Parameters", "parameter": [REASON, {"name": "recipient", "valueReference": to}]}
    headers = FHIR | {"If-Match": sent.headers["ETag"], "Idempotency-Key": "on"}

    answers = [nurses.post(f"/fhir/Task/{task_of(sent)}/$redirect", json=said, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    request = surgery.get(f"/fhir/ServiceRequest/{sent.json()['id']}").json()
    assert request["performer"] == [{**to, "type": "HealthcareService"}]


def test_who_repeats_a_redirection_is_told_of_the_next_task_again(
    services: Services, surgery: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    to = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{new_team(services, 'RZ2')}"}}

    answers = [
        act(surgery, task_of(sent), "redirect", sent.headers["ETag"], REASON, to, **{"Idempotency-Key": "again"})
        for _ in range(2)
    ]

    assert answers[0].json()["id"] != task_of(sent)
    assert answers[1].json() == answers[0].json()
    assert answers[1].headers["ETag"] == answers[0].headers["ETag"]


@pytest.mark.parametrize("said", [{"valueString": "  "}, {"valueCodeableConcept": {"text": "\u00a0"}}])
def test_a_blank_is_no_reason(surgery: httpx.Client, nurses: httpx.Client, team: str, said: dict[str, Any]) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))

    refused = act(nurses, task_of(sent), "reject", sent.headers["ETag"], {"name": "reason", **said})

    assert refused.status_code == 422, refused.text
    assert read(nurses, task_of(sent)).json()["status"] == "requested"


def test_nobody_refers_in_the_name_of_another_organisation(surgery: httpx.Client, team: str) -> None:
    other = {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "A81002"}}

    refused = refer(surgery, service_request(new_nhs_number(), team, requester=other))

    assert refused.status_code == 403, refused.text


def test_the_same_key_for_another_person_makes_another_referral(surgery: httpx.Client, team: str) -> None:
    key = {"Idempotency-Key": new_nhs_number()}

    answers = [refer(surgery, service_request(new_nhs_number(), team), **key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({task_of(answer).partition("-")[2] for answer in answers}) == 2


def test_the_same_key_makes_one_referral(surgery: httpx.Client, team: str) -> None:
    request = service_request(new_nhs_number(), team)

    first = refer(surgery, request, **{"Idempotency-Key": f"k-{request['subject']}"})
    again = refer(surgery, request, **{"Idempotency-Key": f"k-{request['subject']}"})
    other = refer(surgery, request | {"priority": "stat"}, **{"Idempotency-Key": f"k-{request['subject']}"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json() == first.json()


def test_a_rejected_referral_is_back_with_its_requester_who_sends_it_elsewhere(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    other = new_team(services, "RZ2")
    sent = refer(surgery, service_request(new_nhs_number(), team))
    rejected = act(nurses, task_of(sent), "reject", sent.headers["ETag"], REASON)
    assert extension(rejected.json(), NEXT)["identifier"]["value"] == "A81001"

    to = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{other}"}}
    redirected = act(surgery, task_of(sent), "redirect", rejected.headers["ETag"], REASON, to)

    assert redirected.status_code == 200, redirected.text
    assert redirected.json()["id"] != task_of(sent)
    assert redirected.json()["status"] == "requested"
    assert redirected.json()["owner"]["reference"] == f"HealthcareService/{other}"
    assert read(surgery, task_of(sent)).json()["status"] == "rejected"


@pytest.mark.parametrize("action", ["start", "hold", "resume", "complete", "fail", "book"])
def test_what_the_state_does_not_allow_changes_nothing(
    surgery: httpx.Client, nurses: httpx.Client, team: str, action: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    said = [REASON] if action in ("hold", "fail") else []

    refused = act(nurses, task_of(sent), action, sent.headers["ETag"], *said)

    assert refused.status_code == 409, refused.text
    assert "You can: receive, accept, reject, redirect" in refused.json()["issue"][0]["diagnostics"]
    assert read(nurses, task_of(sent)).headers["ETag"] == sent.headers["ETag"]
