"""The answer to a publisher that waits names each statement of its own that is not current."""

from __future__ import annotations

from typing import Any

import httpx
from tests.people import condition, new_nhs_number, patient, said_at, transaction
from tests.publishing import SENT

LATER, EARLIER = "2026-10-02T10:00:00Z", "2026-10-01T10:00:00Z"


def says(practice: httpx.Client, resource: dict[str, Any], returns: str = "minimal") -> httpx.Response:
    """Publish and wait until it is visible."""
    headers = {**SENT, "Prefer": f"wait=20, return={returns}"}
    if resource["resourceType"] == "Bundle":
        return practice.post("/fhir", json=resource, headers=headers)
    return practice.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource, headers=headers)


def test_a_late_older_statement_is_taken_and_its_publisher_told_that_it_does_not_stand(practice: httpx.Client) -> None:
    person = new_nhs_number()
    newer = says(practice, said_at(condition(person, f"{person}-1", "Gout"), LATER))
    assert "X-OneStory-Superseded" not in newer.headers

    older = says(practice, said_at(condition(person, f"{person}-1", "?gout"), EARLIER), "OperationOutcome")

    shared_id = older.headers["Location"].split("/Condition/")[1].split("/")[0]
    assert older.status_code == 200
    assert older.headers["X-OneStory-Superseded"] == shared_id
    assert [issue["severity"] for issue in older.json()["issue"]] == ["information", "warning"]
    assert practice.get(f"/fhir/Condition/{shared_id}").json()["code"]["text"] == "Gout"
    assert practice.get(older.headers["Location"]).json()["code"]["text"] == "?gout"


def test_in_a_bundle_only_the_entry_that_does_not_stand_says_so(practice: httpx.Client) -> None:
    person = new_nhs_number()
    says(practice, said_at(condition(person, f"{person}-1", "Gout"), LATER))

    both = [patient(person, "p"), condition(person, f"{person}-1", "?gout"), condition(person, f"{person}-2")]
    answer = says(practice, transaction(*[said_at(each, EARLIER) for each in both]))

    told = [entry["response"].get("outcome") for entry in answer.json()["entry"]]
    assert [outcome is not None for outcome in told] == [False, True, False]
    assert told[1]["issue"][0]["severity"] == "warning"
