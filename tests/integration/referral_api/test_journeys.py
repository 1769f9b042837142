"""A referral carries what its team needs, and a holder that refers on makes a journey which its parties read."""

from __future__ import annotations

from typing import Any

import httpx
from tests.bars import RECEIVER, answered, message, one, resources, send
from tests.contract.shared_data import needs_shared_data
from tests.people import new_nhs_number, patient
from tests.referrals import FHIR, REASON, act, new_team, read, refer, service_request, task_of
from tests.stack import Services
from tests.waiting import until

from onestory.sample.network import DEMOGRAPHICS

WAIT = {**FHIR, "Prefer": "wait=10"}


def put(client: httpx.Client, resource: dict[str, Any]) -> str:
    """Publish a resource, wait until it is visible, and return its shared id."""
    answer = client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource, headers=WAIT)
    answer.raise_for_status()
    return answer.headers["Location"].split("/")[5]


def register(services: Services, number: str, **elements: Any) -> None:
    """Publish the person's registration with a practice of the network, as the demographic authority."""
    with services.client(DEMOGRAPHICS.ods) as authority:
        authority.headers["X-Source-System"] = DEMOGRAPHICS.system
        put(authority, patient(number, f"pds-{number}", "A81001", **elements))


def allergy(number: str, text: str) -> dict[str, Any]:
    """An allergy of the person."""
    about = {"reference": f"Patient/{number}"}
    local_id = f"{text.lower()}-{number}"
    return {"resourceType": "AllergyIntolerance", "id": local_id, "code": {"text": text}, "patient": about}


def found(client: httpx.Client, number: str) -> str:
    """The person's allergies as the caller finds them."""
    return client.get("/fhir/AllergyIntolerance", params={"patient": number}).text


def told(client: httpx.Client, task_id: str) -> list[tuple[str, str]]:
    """(role, code) of the caller's notices about a Task, the oldest first."""
    notices = client.get("/notices").json()["notices"]
    return [(each["as"], each["code"]) for each in reversed(notices) if each["task"] == task_id]


def test_a_team_that_a_stranger_asks_reads_what_the_referral_carries_and_no_more(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    number = new_nhs_number()
    register(services, number, telecom=[{"system": "phone", "value": "01632 960123"}])
    put(surgery, allergy(number, "Penicillin"))
    with services.client("RX9") as hospital:
        sent = put(hospital, allergy(number, "Latex"))
        put(hospital, allergy(number, "Aspirin"))
        info = [{"reference": f"AllergyIntolerance/{sent}"}]
        asked = refer(hospital, service_request(number, team, supportingInfo=info))
        task_id = task_of(asked)
        until(lambda: "Latex" in found(nurses, number))

        assert "Penicillin" not in found(nurses, number)
        assert "Aspirin" not in found(nurses, number)
        person = nurses.get(f"/fhir/Patient/{number}").json()
        assert person["name"][0]["family"] == "Okafor"
        assert "01632 960123" in str(person["telecom"])
        assert nurses.get(f"/fhir/AllergyIntolerance/{sent}").status_code == 200
        assert nurses.get(f"/fhir/ServiceRequest/{asked.json()['id']}/$story").status_code == 200
        assert "Latex" in nurses.get(f"/fhir/Patient/{number}/$summary").text

        put(nurses, allergy(number, "Plaster"))
        accepted = act(nurses, task_id, "accept", read(nurses, task_id).headers["ETag"])
        started = act(nurses, task_id, "start", accepted.headers["ETag"])
        outcome = put(nurses, allergy(number, "Silver"))
        output = {"name": "output", "valueReference": {"reference": f"AllergyIntolerance/{outcome}"}}
        act(nurses, task_id, "complete", started.headers["ETag"], output).raise_for_status()
        until(lambda: "Latex" not in found(nurses, number))
        # The requester reads the outcome, and nothing else of the team.
        until(lambda: "Silver" in found(hospital, number))
        assert "Plaster" not in found(hospital, number)


def test_a_team_that_is_asked_about_a_restricted_person_reads_the_name_without_contact(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    number = new_nhs_number()
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    phone = [{"system": "phone", "value": "01632 960123"}]
    register(services, number, meta={"security": [label]}, telecom=phone)
    sent = put(surgery, allergy(number, "Penicillin"))
    put(surgery, allergy(number, "Latex"))
    info = [{"reference": f"AllergyIntolerance/{sent}"}]
    refer(surgery, service_request(number, team, supportingInfo=info)).raise_for_status()
    until(lambda: "Penicillin" in found(nurses, number))

    person = nurses.get(f"/fhir/Patient/{number}").text
    assert "Okafor" in person
    assert "960123" not in person
    assert "Latex" not in found(nurses, number)


@needs_shared_data
def test_a_team_that_a_message_asks_reads_all_that_it_carried(
    sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    said = answered(send(sender, message("REFREQ01", new_nhs_number(), service)))
    carried = [
        f"{each['resourceType']}/{each['id']}"
        for each in resources(said)
        if each["resourceType"] in ("AllergyIntolerance", "Observation", "Flag", "Encounter", "CarePlan")
    ]
    assert len(carried) > 4
    until(lambda: receiver.get(f"/fhir/{carried[-1]}").status_code == 200)

    assert [receiver.get(f"/fhir/{name}").status_code for name in carried] == [200] * len(carried)
    number = one(said, "ServiceRequest")["subject"]["reference"].partition("/")[2]
    assert receiver.get(f"/fhir/Patient/{number}").status_code == 200
    assert receiver.get(f"/fhir/Patient/{number}/$summary").status_code == 200


def test_a_holder_refers_on_and_those_on_the_journey_read_it_and_its_outcome(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    number, link_workers = new_nhs_number(), new_team(services, "VA1")
    register(services, number)
    put(surgery, allergy(number, "Penicillin"))
    asked = refer(surgery, service_request(number, team))
    first = task_of(asked)
    act(nurses, first, "accept", read(nurses, first).headers["ETag"]).raise_for_status()

    answer = refer(nurses, service_request(number, link_workers, reasonCode=[{"text": "Lonely at home"}]))

    onward = task_of(answer)
    assert answer.json()["basedOn"] == [{"reference": f"ServiceRequest/{asked.json()['id']}"}]
    assert ("journey", "referral-requested") in told(surgery, onward)
    assert read(surgery, onward).status_code == 200
    assert surgery.get(f"/fhir/Task/{onward}/$messages").status_code == 200
    with services.client("VA1") as workers, services.client("RX9") as stranger:
        until(lambda: "Penicillin" in found(workers, number))
        assert workers.get(f"/fhir/Patient/{number}/$summary").status_code == 200
        assert workers.get(f"/fhir/Task/{first}").status_code == 200
        act(workers, onward, "reject", read(workers, onward).headers["ETag"], REASON).raise_for_status()

        # The rejection comes back to the team that referred on, and the practice hears of it.
        (row,) = [
            each
            for each in nurses.get(f"/worklists/teams/{team}", params={"count": 200}).json()["rows"]
            if each["task"] == onward
        ]
        assert (row["holder"]["team"], row["yourTurn"], row["status"]) == (team, True, "rejected")
        assert ("journey", "referral-rejected") in told(surgery, onward)
        until(lambda: "Penicillin" not in found(workers, number))

        again = task_of(refer(nurses, service_request(number, link_workers)))
        accepted = act(workers, again, "accept", read(workers, again).headers["ETag"])
        started = act(workers, again, "start", accepted.headers["ETag"])
        # The first referral ends before the one that continues it: the link workers read on.
        done = act(nurses, first, "start", read(nurses, first).headers["ETag"])
        words = {"name": "outcome", "valueString": "Exercises at home"}
        act(nurses, first, "complete", done.headers["ETag"], words).raise_for_status()
        assert ("journey", "referral-completed") in told(workers, first)
        assert "Exercises at home" in read(workers, first).text
        until(lambda: "Penicillin" in found(workers, number))
        words = {"name": "outcome", "valueString": "Goes to the lunch club"}
        act(workers, again, "complete", started.headers["ETag"], words).raise_for_status()

        assert ("journey", "referral-completed") in told(surgery, again)
        assert "lunch club" in read(surgery, again).text
        assert "lunch club" in read(nurses, again).text
        until(lambda: "Penicillin" not in found(workers, number))
        assert read(stranger, again).status_code == 404


def test_a_holder_of_several_referrals_is_told_to_name_one(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    number, link_workers = new_nhs_number(), new_team(services, "VA1")
    register(services, number)
    asked = [refer(surgery, service_request(number, team)) for _ in range(2)]
    for each in map(task_of, asked):
        act(nurses, each, "accept", read(nurses, each).headers["ETag"]).raise_for_status()

    unlinked = refer(nurses, service_request(number, link_workers))
    assert "basedOn" in unlinked.headers["Warning"]
    assert "basedOn" not in unlinked.json()

    named = [{"reference": f"ServiceRequest/{asked[1].json()['id']}"}]
    linked = refer(nurses, service_request(number, link_workers, basedOn=named))
    assert "basedOn" not in linked.headers["Warning"]
    assert "has an open referral" in linked.headers["Warning"]
    with services.client(RECEIVER) as stranger:
        assert refer(stranger, service_request(number, link_workers, basedOn=named)).status_code == 422
