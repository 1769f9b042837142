"""Messages about people: one who is identified later, one with a copied Bundle.id, and one who needs an ambulance."""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx
import psycopg
import pytest
from tests.bars import DAY, answered, issue, message, new_service, new_slot, one, send
from tests.contract.shared_data import needs_shared_data
from tests.people import new_nhs_number
from tests.referrals import REASON, act
from tests.stack import Services

pytestmark = needs_shared_data

Json = dict[str, Any]
_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"


def found(client: httpx.Client, number: str) -> list[Json]:
    """The ServiceRequests of a person that the client finds."""
    answer = client.get(f"/ServiceRequest?patient:identifier={_NUMBER}|{number}").raise_for_status()
    return [entry["resource"] for entry in answer.json().get("entry", ())]


def update_of(request: Json, number: str, service: str) -> Json:
    """A control room's update of a request, which names the person by number."""
    said = message("REFREQ8C", number, service)
    one(said, "ServiceRequest")["id"] = request["id"]
    one(said, "Patient")["identifier"] = [{"system": _NUMBER, "value": number}]
    return said


@pytest.fixture
def nameless(sender: httpx.Client, service: str) -> Json:
    """The ServiceRequest of a person whose NHS number is not known yet."""
    said = message("REFREQ8A", new_nhs_number(), service) | {"id": str(uuid.uuid4())}
    one(said, "Patient").pop("identifier", None)
    return one(answered(send(sender, said)), "ServiceRequest")


def test_a_person_who_is_identified_later_is_found_by_the_number(
    sender: httpx.Client, receiver: httpx.Client, service: str, nameless: Json
) -> None:
    number = new_nhs_number()

    answered(send(sender, update_of(nameless, number, service)))

    for client in (sender, receiver):
        (request,) = found(client, number)
        assert request["id"] == nameless["id"]
        assert request["subject"]["identifier"] == {"system": _NUMBER, "value": number}
        assert client.get(f"/ServiceRequest/{nameless['id']}").json() == request
    other = send(sender, update_of(nameless, new_nhs_number(), service))
    assert issue(other)[:2] == (400, "invariant")


def test_a_person_who_is_identified_later_is_booked_and_the_end_of_the_referral_ends_the_appointment(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str, nameless: Json
) -> None:
    number, times = new_nhs_number(), {"start": f"{DAY}T09:00:00Z", "end": f"{DAY}T09:10:00Z"}
    booking = message("BOOKREQ01", number, service)
    one(booking, "Slot")["id"] = new_slot(services, service, *times.values())
    one(booking, "Appointment").update(times, basedOn=[{"reference": f"ServiceRequest/{nameless['id']}"}])
    too_early = send(sender, booking)
    answered(send(sender, update_of(nameless, number, service)))

    made = one(answered(send(sender, booking)), "Appointment")

    assert issue(too_early)[:2] == (400, "invariant")
    await_status(sender, made["id"], "booked")
    with psycopg.connect(services.postgres) as connection:
        query = "select task_id, changed_by, business_status from referral.referral where referral_id = %s"
        rows = connection.execute(query, [nameless["id"]]).fetchall()
    assert rows[0][2] == "BOOKED"
    word = {"name": "appointments", "valueCode": "cancel"}
    act(sender, rows[0][0], "cancel", f'W/"{rows[0][1]}"', REASON, word).raise_for_status()
    assert sender.get(f"/Appointment/{made['id']}").json()["status"] == "cancelled"
    await_status(sender, made["id"], "cancelled")


def await_status(client: httpx.Client, appointment_id: str, status: str) -> None:
    """Wait until the record has the appointment with this status."""
    deadline = time.monotonic() + 20
    while client.get(f"/fhir/Appointment/{appointment_id}").json().get("status") != status:
        assert time.monotonic() < deadline, f"the record lacks the {status} appointment"
        time.sleep(0.1)


def test_a_stranger_finds_nothing_of_a_person_who_is_identified_later(
    services: Services, sender: httpx.Client, service: str, nameless: Json
) -> None:
    number = new_nhs_number()
    answered(send(sender, update_of(nameless, number, service)))

    with services.client("RZ9") as stranger:
        assert found(stranger, number) == []
        assert stranger.get(f"/ServiceRequest/{nameless['id']}").status_code == 404


def response(number: str, service: str, responds_to: str) -> Json:
    """The published first response of a team, to this message."""
    said = message("VALRESP01A", number, service)
    one(said, "MessageHeader")["response"]["identifier"] = responds_to
    one(said, "MessageHeader").pop("sender", None)
    return said


def copied(request: Json, number: str, service: str) -> Json:
    """A request of another organisation with the same Bundle.id."""
    said = message("VALREQ01", number, service) | {"id": request["id"]}
    one(said, "MessageHeader").pop("sender", None)
    return said


def status(client: httpx.Client, referral_id: str) -> int:
    return client.get(f"/ServiceRequest/{referral_id}").status_code


@pytest.mark.parametrize("to_the_same_team", [True, False])
@pytest.mark.parametrize("names_receiver", [True, False])
def test_a_third_organisation_that_copies_a_bundle_id_changes_nothing_and_learns_nothing(
    services: Services,
    sender: httpx.Client,
    receiver: httpx.Client,
    service: str,
    *,
    to_the_same_team: bool,
    names_receiver: bool,
) -> None:
    number, other_service = new_nhs_number(), new_service(services, "RZ9")
    asked = message("VALREQ01", number, service) | {"id": str(uuid.uuid4())}
    real = one(answered(send(sender, asked)), "ServiceRequest")["id"]
    answer = response(number, service, asked["id"])
    if not names_receiver:
        one(answer, "MessageHeader").pop("destination")

    with services.client("RZ9") as third:
        before = [send(third, response(new_nhs_number(), service, name)) for name in (asked["id"], str(uuid.uuid4()))]
        copy = send(third, copied(asked, number, service if to_the_same_team else other_service))
        copy_id = one(answered(copy), "ServiceRequest")["id"]
        own = str(uuid.uuid4())
        answered(send(third, copied({"id": own}, number, other_service)))
        after = [send(third, response(new_nhs_number(), service, name)) for name in (asked["id"], own)]
        assert status(third, real) == 404
    taken = send(receiver, answer)

    assert [issue(each) for each in before] == [issue(before[1])] * 2
    if not to_the_same_team:
        assert [issue(each) for each in after] == [issue(after[1])] * 2
    assert one(answered(taken), "ServiceRequest")["id"] == real
    assert copy_id != real


def test_a_request_for_an_ambulance_is_not_refused_for_want_of_a_code_system(
    sender: httpx.Client, service: str
) -> None:
    said = message("REFREQ8A", new_nhs_number(), service) | {"id": str(uuid.uuid4())}
    one(said, "Condition")["clinicalStatus"] = {"coding": [{"code": "active"}]}

    taken = answered(send(sender, said))

    outcome = one(taken, "OperationOutcome")
    details = one(taken, "MessageHeader")["response"]["details"]["reference"]
    assert [each["severity"] for each in outcome["issue"]] == ["warning"]
    assert details in [entry["fullUrl"] for entry in taken["entry"]]
    assert one(taken, "Condition")["clinicalStatus"]["coding"][0]["system"].endswith("condition-clinical")


def test_a_request_that_can_wait_is_refused_without_a_code_system(sender: httpx.Client, service: str) -> None:
    said = message("REFREQ03", new_nhs_number(), service) | {"id": str(uuid.uuid4())}
    one(said, "Condition")["clinicalStatus"] = {"coding": [{"code": "active"}]}

    assert issue(send(sender, said))[::3] == (400, "REC_BAD_REQUEST")


@pytest.mark.parametrize("name", ["REFREQ01", "REFREQ03", "REFREQ06", "REFREQ8A", "VALREQ01"])
def test_a_related_person_is_taken_with_every_request(sender: httpx.Client, service: str, name: str) -> None:
    said = message(name, new_nhs_number(), service) | {"id": str(uuid.uuid4())}
    patient = next(entry for entry in said["entry"] if entry["resource"]["resourceType"] == "Patient")
    mother = {
        "resourceType": "RelatedPerson",
        "patient": {"reference": patient["fullUrl"]},
        "name": [{"family": "Mother"}],
    }
    said["entry"].append({"fullUrl": "urn:uuid:6f3c1f0e-6f5b-4a53-9f2a-0d8a1c2b3e4f", "resource": mother})
    one(said, "ServiceRequest")["requester"] = {"reference": said["entry"][-1]["fullUrl"]}

    taken = answered(send(sender, said))

    related = one(taken, "RelatedPerson")
    assert related["name"] == [{"family": "Mother"}]
    assert one(taken, "ServiceRequest")["requester"]["reference"] == f"RelatedPerson/{related['id']}"
