"""Published BaRS messages, sent in the order of the standard, create, change and end referrals and bookings."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import psycopg
import pytest
from tests.bars import (
    DAY,
    answered,
    issue,
    message,
    new_service,
    new_slot,
    one,
    resources,
    send,
)
from tests.contract.shared_data import needs_shared_data
from tests.people import new_nhs_number
from tests.stack import Services

pytestmark = needs_shared_data

Json = dict[str, Any]
_HOLDER = "https://onestory.nhs.uk/StructureDefinition/referral-holder"


def request_of(answer: httpx.Response) -> Json:
    """The ServiceRequest in an answer."""
    return one(answered(answer), "ServiceRequest")


def now(client: httpx.Client, request: Json) -> Json:
    """The ServiceRequest as it is now."""
    answer = client.get(f"/ServiceRequest/{request['id']}")
    assert answer.status_code == 200, answer.text
    said: Json = answer.json()
    return said


def history(services: Services, request: Json) -> list[str]:
    """Return the actions on the referral, in order."""
    with psycopg.connect(services.postgres) as connection:
        rows = connection.execute(
            "select action from referral.change where referral_id = %s order by version", [request["id"]]
        ).fetchall()
    return [action for (action,) in rows]


@pytest.mark.parametrize("name", ["REFREQ01", "REFREQ03", "REFREQ06"])
def test_a_published_referral_becomes_a_referral(sender: httpx.Client, service: str, name: str) -> None:
    sent = message(name, new_nhs_number(), service)

    answer = send(sender, sent)

    said = answered(answer)
    assert one(said, "MessageHeader")["response"]["identifier"] == sent["id"]
    request = one(said, "ServiceRequest")
    assert request["status"] == "active"
    assert request["category"] == one(sent, "ServiceRequest")["category"]
    assert now(sender, request) == request


def test_what_a_referral_carries_is_on_the_record_and_the_referral_refers_to_it(
    services: Services, sender: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    sent = message("REFREQ01", number, service)

    said = answered(send(sender, sent))

    carried = [each["resourceType"] for each in resources(said)]
    assert sorted(carried) == sorted(each["resourceType"] for each in resources(sent))
    plan = one(said, "CarePlan")
    assert one(said, "ServiceRequest")["basedOn"] == [{"reference": f"CarePlan/{plan['id']}"}]


def test_a_referral_whose_person_did_not_attend_is_back_with_its_requester(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    request = request_of(send(sender, message("REFREQ01", number, service)))

    answer = send(receiver, message("REFRESP01", number, service))

    answered(answer)
    assert history(services, request) == ["request", "accept", "start", "fail"]
    shown = now(sender, request)
    assert shown["status"] == "revoked"
    assert "DID_NOT_ATTEND" in str(shown["extension"])


def test_a_response_to_a_request_for_advice_is_the_advice(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    asked = json.loads(json.dumps(message("REFREQ01", number, service)).replace("a1t1", "a8t1"))
    request = request_of(send(sender, asked))
    response = message("REFRESP01", number, service)
    refused = send(receiver, response)
    one(response, "ServiceRequest")["status"] = "completed"

    answered(send(receiver, response))

    assert issue(refused)[:2] == (409, "conflict")
    assert history(services, request) == ["request", "advise"]
    (task,) = receiver.get(f"/fhir/Task?owner=HealthcareService/{team_of(services, service)}").json()["entry"]
    said = sender.get(f"/fhir/Task/{task['resource']['id']}/$messages").json()["entry"][0]["resource"]
    assert task["resource"]["businessStatus"]["coding"][0]["code"] == "REFERRER_TO_REVIEW_RESPONSE"
    assert {each["reference"].partition("/")[0] for each in said["about"]} >= {"Encounter"}


def team_of(services: Services, service: str) -> str:
    """Return the directory id of the team with this DoS id."""
    with psycopg.connect(services.postgres) as connection:
        query = "select team_id from referral.team where dos_service_id = %s"
        (row,) = connection.execute(query, [service]).fetchall()
    return str(row[0])


def test_a_validation_is_taken_and_then_done(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    request = request_of(send(sender, message("VALREQ01", number, service)))

    answered(send(receiver, message("VALRESP01A", number, service)))
    answered(send(receiver, message("VALRESP01B", number, service)))

    assert history(services, request) == ["request", "accept", "start", "complete"]
    assert now(sender, request)["status"] == "completed"


def test_a_response_finds_its_request_though_another_sender_has_used_the_same_bundle_id(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    request = request_of(send(sender, message("VALREQ01", number, service)))
    copy = message("VALREQ01", number, new_service(services, "RZ9"))
    one(copy, "MessageHeader").pop("sender")
    with services.client("RZ9") as other:
        answered(send(other, copy))

    answered(send(receiver, message("VALRESP01A", number, service)))

    assert history(services, request)[:2] == ["request", "accept"]


def test_a_validation_that_is_revoked_is_cancelled(services: Services, sender: httpx.Client, service: str) -> None:
    number = new_nhs_number()
    request = request_of(send(sender, message("VALREQ01", number, service)))

    answered(send(sender, message("SERVREQ01", number, service)))

    assert history(services, request) == ["request", "cancel"]
    assert now(sender, request)["status"] == "revoked"
    assert issue(send(sender, message("SERVREQ01", number, service)))[:2] == (409, "conflict")


def test_a_control_room_sends_again_what_it_knows_meanwhile(
    services: Services, sender: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    initial = message("REFREQ8A", number, service) | {"id": str(uuid.uuid4())}
    requests = [request_of(send(sender, initial))]

    for name in ("REFREQ8B", "REFREQ8C", "REFREQ8D"):
        update = message(name, number, service)
        # The published updates carry the id that the receiver assigned.
        one(update, "ServiceRequest")["id"] = requests[0]["id"]
        requests.append(request_of(send(sender, update)))

    assert len({each["id"] for each in requests}) == 1
    assert history(services, requests[0]) == ["request", "update", "update", "update"]
    assert requests[-1]["priority"] == "stat"


def test_a_booking_takes_a_slot_and_its_cancellation_gives_it_back(
    services: Services, sender: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    slot = new_slot(services, service, f"{DAY}T12:30:30+00:00", f"{DAY}T12:40:30+00:00")
    booking = message("BOOKREQ01", number, service)
    one(booking, "Slot")["id"] = slot

    made = one(answered(send(sender, booking)), "Appointment")
    other = send(sender, booking | {"id": "another"})
    cancelled = one(answered(send(sender, message("BOOKREQ02", number, service))), "Appointment")

    assert made["status"] == "booked"
    assert issue(other)[:2] == (409, "conflict")
    assert (cancelled["id"], cancelled["status"]) == (made["id"], "cancelled")
    answered(send(sender, booking | {"id": "a-third"}))
