"""An open referral is amended and reprioritised; a mistake is emptied everywhere; a claim ends with its role."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
from tests.people import new_nhs_number
from tests.referrals import REASON, a_text, act, end_role, new_role, read, refer, say, service_request, task_of
from tests.stack import Services
from tests.waiting import until

WORD = "businessStatus"


def code(name: str, value: str) -> dict[str, str]:
    """A parameter with a code."""
    return {"name": name, "valueCode": value}


def test_a_read_with_the_position_of_a_referral_sees_it_at_once(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    number = new_nhs_number()
    services.register(number)

    sent = refer(surgery, service_request(number, team))
    after = {"patient": number, "after": sent.headers["X-OneStory-Position"]}
    found = surgery.get("/fhir/ServiceRequest", params=after).json()
    assert [each["resource"]["id"] for each in found["entry"]] == [sent.json()["id"]]

    accepted = act(nurses, task_of(sent), "accept", read(nurses, task_of(sent)).headers["ETag"])
    after["after"] = accepted.headers["X-OneStory-Position"]
    (task,) = surgery.get("/fhir/Task", params=after).json()["entry"]
    assert task["resource"]["status"] == "accepted"


def test_a_mistake_is_emptied_everywhere(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    number = new_nhs_number()
    services.register(number)
    request = service_request(number, team, reasonCode=[{"text": "secret story"}], note=[{"text": "secret note"}])
    sent = refer(surgery, request)
    task_id, request_id = task_of(sent), sent.json()["id"]
    refused = act(nurses, task_id, "accept", read(nurses, task_id).headers["ETag"], code(WORD, "REJECTED"))
    assert refused.status_code == 422
    accepted = act(nurses, task_id, "accept", read(nurses, task_id).headers["ETag"])
    output = {"name": "output", "valueString": "secret output"}
    started = act(nurses, task_id, "start", accepted.headers["ETag"])
    failed = act(nurses, task_id, "fail", started.headers["ETag"], REASON, output)
    corrected = act(surgery, task_id, "correct", failed.headers["ETag"], REASON)

    after = {"after": corrected.headers["X-OneStory-Position"]}
    pages = [
        ("/fhir/Task", {"patient": number, **after}),
        ("/fhir/ServiceRequest", {"patient": number, **after}),
        (f"/fhir/Task/{task_id}", {}),
        (f"/fhir/ServiceRequest/{request_id}", {}),
        (f"/fhir/Task/{task_id}/_history", after),
        (f"/fhir/ServiceRequest/{request_id}/_history", after),
        ("/fhir/Task/_history", {"patient": number}),
        (f"/fhir/ServiceRequest/{request_id}/$story", {}),
        (f"/fhir/Patient/{number}/$everything", {}),
        (f"/fhir/Patient/{number}/$summary", {}),
        (f"/fhir/Patient/{number}/$everything", {"asOf": accepted.json()["meta"]["lastUpdated"]}),
    ]
    shown = {path: surgery.get(path, params=params) for path, params in pages}
    assert {path: answer.status_code for path, answer in shown.items()} == dict.fromkeys(shown, 200)
    assert [path for path, answer in shown.items() if "secret" in answer.text] == []
    (version,) = shown[f"/fhir/Task/{task_id}/_history"].json()["entry"]
    assert version["resource"]["status"] == "entered-in-error"
    earlier = f"/fhir/Task/{task_id}/_history/{accepted.json()['meta']['versionId']}"
    assert surgery.get(earlier).status_code == 404


def test_an_open_referral_is_amended_and_reprioritised(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    request = service_request(new_nhs_number(), team, priority="routine")
    sent = refer(surgery, request)
    task_id = task_of(sent)
    etag = read(surgery, task_id).headers["ETag"]

    urgent = act(surgery, task_id, "prioritise", etag, code("priority", "urgent"))
    assert urgent.json()["priority"] == "urgent"
    body = {**request, "priority": "urgent", "reasonCode": [{"text": "Falls"}]}
    amended = act(surgery, task_id, "amend", urgent.headers["ETag"], {"name": "request", "resource": body})

    assert amended.status_code == 200, amended.text
    now = nurses.get(f"/fhir/ServiceRequest/{sent.json()['id']}").json()
    assert (now["priority"], now["reasonCode"]) == ("urgent", [{"text": "Falls"}])
    told = [each["code"] for each in nurses.get("/notices").json()["notices"] if each["task"] == task_id]
    assert {"referral-priority-changed", "referral-amended"} <= set(told)
    note = {"name": "note", "valueString": "By the team"}
    assert act(nurses, task_id, "amend", amended.headers["ETag"], note).status_code == 403
    lower = act(nurses, task_id, "prioritise", amended.headers["ETag"], code("priority", "routine"))
    assert lower.status_code == 422


def test_a_claim_ends_with_the_role(services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    user = f"556{new_nhs_number()}"
    role = new_role(services, team, "RZ1", user)
    task_id = task_of(refer(surgery, service_request(new_nhs_number(), team)))
    with services.client("RZ1", sub=user) as nurse:
        act(nurse, task_id, "claim", read(nurse, task_id).headers["ETag"]).raise_for_status()
    assert nurses.get(f"/worklists/teams/{team}").json()["counts"]["unclaimed"] == 0

    end_role(services, role, datetime(2026, 11, 1, tzinfo=UTC))

    until(lambda: nurses.get(f"/worklists/teams/{team}").json()["counts"]["unclaimed"] == 1)
    assert nurses.get(f"/worklists/teams/{team}").json()["rows"][0]["claimedBy"] is None
    assert "referral-claim-ended" in nurses.get("/notices").text


def test_a_question_about_a_completed_referral_is_a_request_for_advice(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    task_id = task_of(sent)
    etag = read(nurses, task_id).headers["ETag"]
    for action in ("accept", "start", "complete"):
        etag = act(nurses, task_id, action, etag).headers["ETag"]

    question = (code("category", "question"), a_text("May she swim?"))
    once = {"Idempotency-Key": f"once-{task_id}"}
    asked = act(surgery, task_id, "message", etag, *question, **once)
    again = act(surgery, task_id, "message", etag, *question, **once)

    assert asked.status_code == again.status_code == 200, asked.text
    assert asked.json()["id"] == again.json()["id"]
    advice = asked.headers["Link"].partition("/fhir/Task/")[2].partition(">")[0]
    task = read(nurses, advice)
    assert task.json()["businessStatus"]["coding"][0]["code"] == "PROVIDER_RESPONSE_REQUIRED"
    assert task.json()["restriction"]["period"]["end"]
    request = surgery.get(f"/fhir/{task.json()['focus']['reference']}").json()
    assert request["basedOn"] == [{"reference": f"ServiceRequest/{sent.json()['id']}"}]
    assert "May she swim?" in nurses.get(f"/fhir/Task/{advice}/$messages").text
    assert say(nurses, advice, task.headers["ETag"], "answer", "Yes").status_code == 200
    assert read(surgery, task_id).json()["status"] == "completed"
    old = act(surgery, task_id, "message", sent.headers["ETag"], *question)
    assert old.status_code == 412
