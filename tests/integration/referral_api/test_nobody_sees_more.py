"""A caller who is not yet or no longer a party of a referral learns nothing of it, and cannot block it for others."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from tests.bars import RECEIVER, SENDER, answered, issue, message, new_service, new_slot, one, send
from tests.contract.shared_data import needs_shared_data
from tests.people import new_nhs_number
from tests.referrals import REASON, act, end_role, new_role, new_team, read, refer, service_request, task_of
from tests.stack import Services


@pytest.fixture
def surgery(services: Services) -> Iterator[httpx.Client]:
    with services.client("A81001") as client:
        yield client


@pytest.fixture
def sender(services: Services) -> Iterator[httpx.Client]:
    with services.client(SENDER) as client:
        yield client


@pytest.fixture
def team(services: Services) -> str:
    return new_team(services, "RZ1")


@pytest.fixture
def user() -> str:
    return f"555{secrets.randbelow(10**9):09d}"


def output(text: str) -> dict[str, Any]:
    return {"name": "output", "valueString": text}


def test_who_has_left_the_team_learns_nothing_by_repeating_a_request(
    services: Services, surgery: httpx.Client, team: str, user: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    role = new_role(services, team, "RZ1", user)
    with services.client("RZ1", sub=user) as nurse:
        asked = (task_of(sent), "accept", sent.headers["ETag"])
        assert act(nurse, *asked, **{"Idempotency-Key": "mine"}).status_code == 200
        assert act(nurse, *asked, **{"Idempotency-Key": "mine"}).status_code == 200

        end_role(services, role, datetime.now(UTC) - timedelta(days=1))

        assert act(nurse, *asked, **{"Idempotency-Key": "mine"}).status_code == 403


def test_who_has_passed_a_referral_on_learns_nothing_of_the_next_task_by_repeating_it(
    services: Services, surgery: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    to = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{new_team(services, 'RZ2')}"}}
    with services.client("RZ1") as nurses:
        asked = (sent.json()["id"], "redirect", sent.headers["ETag"], REASON, to)
        assert act(nurses, *asked, **{"Idempotency-Key": "on"}).status_code == 200

        assert act(nurses, *asked, **{"Idempotency-Key": "on"}).status_code == 404


def test_a_referral_never_grows_so_large_that_it_would_stop_all_others(
    services: Services, surgery: httpx.Client, team: str
) -> None:
    note = [{"text": "n" * 900_000}] * 7
    assert refer(surgery, service_request(new_nhs_number(), team, note=note)).status_code == 413
    sent = refer(surgery, service_request(new_nhs_number(), team, note=note[:2]))
    with services.client("RZ1") as nurses:
        tag = act(nurses, task_of(sent), "accept", sent.headers["ETag"]).headers["ETag"]
        outputs = [output("x" * 900_000)] * 3
        tag = act(nurses, task_of(sent), "book", tag, *outputs).headers["ETag"]

        assert act(nurses, task_of(sent), "book", tag, *outputs).status_code == 413
        assert act(nurses, task_of(sent), "start", tag).status_code == 200


def test_nobody_gives_a_user_of_another_organisation_a_name(
    services: Services, surgery: httpx.Client, team: str, user: str
) -> None:
    new_role(services, team, "RZ1", user)
    elsewhere = new_role(services, new_team(services, "RZ7"), "RZ7", user)
    with psycopg.connect(services.postgres) as connection:
        connection.execute("update referral.directory_role set name = 'Z' where shared_id = %s", [elsewhere])
    sent = refer(surgery, service_request(new_nhs_number(), team))

    with services.client("RZ1", sub=user) as nurse:
        act(nurse, task_of(sent), "claim", sent.headers["ETag"]).raise_for_status()
        (row,) = nurse.get(f"/worklists/teams/{team}").raise_for_status().json()["rows"]

    assert row["claimedBy"] == {"user": user, "name": f"Nurse {user}"}


def booked(services: Services, sender: httpx.Client, number: str, service: str) -> dict[str, Any]:
    """Return the Appointment that a published booking created."""
    said = message("BOOKREQ01", number, service)
    appointment = one(said, "Appointment")
    one(said, "Slot")["id"] = new_slot(services, service, appointment["start"], appointment["end"])
    return one(answered(send(sender, said)), "Appointment")


def team_of(services: Services, service: str) -> str:
    """The directory id of the team with this service id."""
    with psycopg.connect(services.postgres) as connection:
        rows = connection.execute("select team_id from referral.team where dos_service_id = %s", [service]).fetchall()
    return str(rows[0][0])


@needs_shared_data
def test_a_booking_is_read_and_changed_by_who_has_a_role_at_its_team(
    services: Services, sender: httpx.Client, user: str
) -> None:
    number, service = new_nhs_number(), new_service(services)
    made = booked(services, sender, number, service)
    search = f"/Appointment?patient:identifier=https://fhir.nhs.uk/Id/nhs-number|{number}"
    new_role(services, new_team(services, RECEIVER), RECEIVER, user)
    cancellation = message("BOOKREQ02", number, service)
    one(cancellation, "Appointment")["id"] = made["id"]
    one(cancellation, "MessageHeader").pop("sender")

    with services.client(RECEIVER, sub=user) as somebody, services.client(RECEIVER) as system:
        assert somebody.get(f"/Appointment/{made['id']}").status_code == 404
        assert somebody.get(search).json()["total"] == 0
        assert send(somebody, cancellation).status_code == 404
        new_role(services, team_of(services, service), RECEIVER, user)
        assert somebody.get(f"/Appointment/{made['id']}").status_code == 200
        assert somebody.get(search).json()["total"] == 1
        assert system.get(f"/Appointment/{made['id']}").status_code == 200


@needs_shared_data
def test_a_team_that_takes_anothers_service_id_gets_none_of_its_bookings(
    services: Services, sender: httpx.Client
) -> None:
    service = new_service(services)
    dos_id = {"system": "https://fhir.nhs.uk/Id/dos-service-id", "value": service}
    new_team(services, "RZ7", identifier=[dos_id])
    said = message("BOOKREQ01", new_nhs_number(), service)
    times = one(said, "Appointment")["start"], one(said, "Appointment")["end"]
    one(said, "Slot")["id"] = new_slot(services, service, *times, organisation="RZ7")

    refused = send(sender, said)

    assert issue(refused)[:2] == (409, "conflict"), refused.text
    found = sender.get(f"/Slot?Schedule.actor:HealthcareService={service}&status=free")
    assert (found.status_code, found.json()["total"]) == (200, 0), found.text


@needs_shared_data
def test_an_appointment_is_not_moved_to_another_team_which_would_not_hear_of_it(
    services: Services, sender: httpx.Client
) -> None:
    number, service, other = new_nhs_number(), new_service(services), new_service(services, "RZ6")
    made = booked(services, sender, number, service)
    moved = message("BOOKREQ01", number, other)
    one(moved, "MessageHeader")["reason"]["coding"][0]["code"] = "update"
    times = one(moved, "Appointment")["start"], one(moved, "Appointment")["end"]
    one(moved, "Appointment")["id"] = made["id"]
    one(moved, "Slot")["id"] = new_slot(services, other, *times, organisation="RZ6")

    refused = send(sender, moved)

    assert issue(refused)[:2] == (400, "business-rule"), refused.text


@needs_shared_data
def test_a_referral_gets_no_appointment_of_somebody_whose_number_is_not_said(
    services: Services, sender: httpx.Client
) -> None:
    number, service = new_nhs_number(), new_service(services)
    request = one(answered(send(sender, message("REFREQ01", number, service))), "ServiceRequest")
    booking = message("BOOKREQ01", number, service)
    times = one(booking, "Appointment")["start"], one(booking, "Appointment")["end"]
    one(booking, "Slot")["id"] = new_slot(services, service, *times)
    one(booking, "Appointment")["basedOn"] = [{"reference": f"ServiceRequest/{request['id']}"}]
    one(booking, "Patient")["identifier"] = [{"system": "https://example.org/local", "value": "7"}]

    refused = send(sender, booking)

    assert issue(refused)[:2] == (400, "invariant"), refused.text


@needs_shared_data
def test_a_stranger_who_responds_hears_the_same_whether_there_is_a_referral_or_not(
    services: Services, sender: httpx.Client
) -> None:
    number, service = new_nhs_number(), new_service(services)
    request = message("VALREQ01", number, service)
    answered(send(sender, request))
    response = message("VALRESP01A", number, service)
    one(response, "MessageHeader").pop("sender", None)
    answers = []

    with services.client("RZ8") as stranger:
        for name in (request["id"], secrets.token_hex(16)):
            one(response, "MessageHeader")["response"]["identifier"] = name
            answers.append(send(stranger, response))

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()


def test_a_draft_is_there_for_its_own_organisation_alone(surgery: httpx.Client, services: Services, team: str) -> None:
    draft = refer(surgery, service_request(new_nhs_number(), team, status="draft"))

    with services.client("RZ1") as nurses:
        for address in (f"/fhir/Task/{task_of(draft)}/$messages", f"/ServiceRequest/{draft.json()['id']}"):
            assert nurses.get(address).status_code == 404
        assert act(nurses, task_of(draft), "accept", 'W/"00000000-0000-0000-0000-000000000000"').status_code == 404
    assert read(surgery, task_of(draft)).status_code == 200
