"""A completed referral is on the list of letters outstanding until its letter is an output."""

from __future__ import annotations

import httpx
from tests.people import new_nhs_number
from tests.referrals import FHIR, act, read, refer, service_request, task_of
from tests.stack import Services


def outstanding(client: httpx.Client, path: str) -> list[str]:
    """The Tasks on a list of letters outstanding, over all its pages of one row."""
    answer = client.get(f"/worklists/{path}/letters", params={"count": 1}).raise_for_status().json()
    tasks = [row["task"] for row in answer["rows"]]
    while answer["next"]:
        answer = client.get(answer["next"]).raise_for_status().json()
        tasks += [row["task"] for row in answer["rows"]]
        assert all(row["completedAt"] for row in answer["rows"])
    return tasks


def test_a_letter_is_outstanding_until_it_is_an_output(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    tasks = []
    for number in (new_nhs_number(), new_nhs_number()):
        services.register(number)
        task_id = task_of(refer(surgery, service_request(number, team)))
        etag = read(nurses, task_id).headers["ETag"]
        for action in ("accept", "start", "complete"):
            etag = act(nurses, task_id, action, etag).headers["ETag"]
        tasks.append((number, task_id, etag))
    assert outstanding(nurses, f"teams/{team}") == [task_id for _, task_id, _ in tasks]
    assert {task_id for _, task_id, _ in tasks} <= set(outstanding(surgery, "organisations/A81001"))

    number, task_id, etag = tasks[0]
    about = {"reference": f"Patient/{number}"}
    attachment = {"contentType": "text/plain", "data": "RGVhciBkb2N0b3I="}
    letter = {
        "resourceType": "DocumentReference",
        "id": f"letter-{number}",
        "status": "current",
        "subject": about,
        "content": [{"attachment": attachment}],
    }
    headers = {**FHIR, "Prefer": "wait=10"}
    written = nurses.put(f"/fhir/DocumentReference/letter-{number}", json=letter, headers=headers).raise_for_status()
    named = {"reference": "/".join(written.headers["Location"].split("/")[4:6])}
    added = act(nurses, task_id, "letter", etag, {"name": "letter", "valueReference": named})

    assert added.status_code == 200, added.text
    assert added.json()["status"] == "completed"
    assert outstanding(nurses, f"teams/{team}") == [tasks[1][1]]
    told = [each["code"] for each in surgery.get("/notices").json()["notices"] if each["task"] == task_id]
    assert "referral-letter" in told
    assert surgery.get(f"/fhir/{named['reference']}").status_code == 200
