"""Rejections by response, updates of validations and deletions: the published messages, as the guide has them."""

from __future__ import annotations

import copy
import time
import uuid
from typing import Any

import httpx
import psycopg
import pytest
from tests.bars import DAY, answered, issue, message, new_slot, one, resources, send
from tests.contract.shared_data import needs_shared_data
from tests.people import new_nhs_number
from tests.referrals import act
from tests.stack import Services

pytestmark = needs_shared_data

Json = dict[str, Any]
_STATUS_REASON = "http://hl7.org/fhir/StructureDefinition/request-statusReason"


def history(services: Services, request: Json) -> list[str]:
    """The actions on the referral, in order."""
    with psycopg.connect(services.postgres) as connection:
        rows = connection.execute(
            "select action from referral.change where referral_id = %s order by version", [request["id"]]
        ).fetchall()
    return [action for (action,) in rows]


def task_in_force(services: Services, request: Json) -> tuple[str, str]:
    """The id and the ETag of the Task in force."""
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute(
            "select task_id, changed_by from referral.referral where referral_id = %s", [request["id"]]
        ).fetchone()
    assert row is not None
    return row[0], f'W/"{row[1]}"'


def asked(sender: httpx.Client, name: str, number: str, service: str) -> tuple[Json, str]:
    """The ServiceRequest of a published request, and the id of its Bundle."""
    said = message(name, number, service) | {"id": str(uuid.uuid4())}
    return one(answered(send(sender, said)), "ServiceRequest"), said["id"]


def response(name: str, number: str, service: str, responds_to: str) -> Json:
    """The published response, to this message."""
    said = message(name, number, service)
    one(said, "MessageHeader")["response"]["identifier"] = responds_to
    one(said, "MessageHeader").pop("sender", None)
    return said


def shown_reason(client: httpx.Client, request: Json) -> tuple[str, Json]:
    """The status of the request as BaRS shows it, and the reason of the status."""
    shown = client.get(f"/ServiceRequest/{request['id']}").json()
    (reason,) = [each["valueCodeableConcept"] for each in shown["extension"] if each["url"] == _STATUS_REASON]
    return shown["status"], reason


@pytest.mark.parametrize(
    ("name", "answer", "code", "display"),
    [
        ("VALREQ01", "VALRESP04", "FC", "Failed Contact"),
        ("REFREQ01", "REFRESP02", "RRNA", "Requested resource not available within timescale"),
    ],
)
def test_a_cancelled_encounter_rejects_the_request_and_the_sender_reads_why(
    services: Services,
    sender: httpx.Client,
    receiver: httpx.Client,
    service: str,
    name: str,
    answer: str,
    code: str,
    display: str,
) -> None:
    number = new_nhs_number()
    request, bundle_id = asked(sender, name, number, service)

    answered(send(receiver, response(answer, number, service, bundle_id)))

    status, reason = shown_reason(sender, request)
    (coding,) = reason["coding"]
    assert history(services, request) == ["request", "reject"]
    assert (status, coding["code"], coding["display"]) == ("revoked", code, display)
    found = sender.get(f"/ServiceRequest?patient:identifier=https://fhir.nhs.uk/Id/nhs-number|{number}").json()
    assert [entry["resource"]["status"] for entry in found["entry"]] == ["revoked"]


def test_a_revoked_validation_with_a_triaged_encounter_is_rejected(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    request, bundle_id = asked(sender, "VALREQ01", number, service)
    said = response("VALRESP04", number, service, bundle_id)
    one(said, "ServiceRequest")["status"] = "revoked"
    [each for each in resources(said) if each["resourceType"] == "Encounter"][-1]["status"] = "triaged"

    answered(send(receiver, said))
    again = answered(send(receiver, said))

    assert history(services, request) == ["request", "reject", "respond"]
    assert one(again, "ServiceRequest")["id"] == request["id"]
    assert shown_reason(sender, request)[1]["coding"][0]["code"] == "FC"


def test_a_team_that_had_started_gives_the_validation_back(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    request, bundle_id = asked(sender, "VALREQ01", number, service)
    answered(send(receiver, response("VALRESP01A", number, service, bundle_id)))

    answered(send(receiver, response("VALRESP04", number, service, bundle_id)))

    assert history(services, request) == ["request", "accept", "start", "fail"]
    assert shown_reason(sender, request)[0] == "revoked"


def test_a_cancelled_encounter_without_a_reason_is_refused(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    request, bundle_id = asked(sender, "VALREQ01", number, service)
    said = response("VALRESP04", number, service, bundle_id)
    for each in resources(said):
        each.pop("reasonCode", None)

    refused = issue(send(receiver, said))

    assert refused[:2] == (400, "required")
    assert refused[2].endswith(".reasonCode")
    assert history(services, request) == ["request"]


def test_a_rejection_by_operation_is_read_by_the_sender_with_its_display(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    request, _ = asked(sender, "REFREQ06", new_nhs_number(), service)
    task_id, tag = task_in_force(services, request)
    coding = {"system": "https://fhir.nhs.uk/CodeSystem/dos-rejected-reasons-bars", "code": "22"}
    reason = {"name": "reason", "valueCodeableConcept": {"coding": [coding]}}

    rejected = act(receiver, task_id, "reject", tag, reason).raise_for_status()

    shown = sender.get(f"/ServiceRequest/{request['id']}")
    assert rejected.json()["statusReason"]["coding"][0]["display"] == "Rejected for capacity reasons"
    assert shown_reason(sender, request) == ("revoked", rejected.json()["statusReason"])
    assert shown.headers["ETag"] == rejected.headers["ETag"]


@pytest.mark.parametrize("status", ["active", "on-hold"])
def test_a_request_for_validation_is_updated(
    services: Services, sender: httpx.Client, service: str, status: str
) -> None:
    number = new_nhs_number()
    request, _ = asked(sender, "VALREQ01", number, service)
    update = message("VALREQ02", number, service)
    one(update, "ServiceRequest").update(status=status, patientInstruction="Changed")

    updated = one(answered(send(sender, update)), "ServiceRequest")

    assert (updated["id"], updated["patientInstruction"]) == (request["id"], "Changed")
    assert history(services, request) == ["request", "update"]


@pytest.mark.parametrize("has_definition", [True, False])
def test_a_referral_that_was_a_mistake_is_deleted(
    services: Services, sender: httpx.Client, service: str, *, has_definition: bool
) -> None:
    number = new_nhs_number()
    said = message("REFREQ01", number, service) | {"id": str(uuid.uuid4())}
    request = one(answered(send(sender, said)), "ServiceRequest")
    deletion = copy.deepcopy(said) | {"id": str(uuid.uuid4())}
    header = one(deletion, "MessageHeader")
    header["reason"]["coding"][0]["code"] = "delete"
    if not has_definition:
        del header["definition"]
        kept = ("MessageHeader", "Patient", "ServiceRequest")
        deletion["entry"] = [each for each in deletion["entry"] if each["resource"]["resourceType"] in kept]
        one(deletion, "ServiceRequest")["id"] = request["id"]

    deleted = one(answered(send(sender, deletion)), "ServiceRequest")

    assert (deleted["id"], deleted["status"]) == (request["id"], "entered-in-error")
    assert history(services, request) == ["request", "correct"]


@pytest.mark.parametrize("how", ["delete", "entered-in-error"])
def test_what_a_mistaken_referral_carried_leaves_the_record(
    services: Services, sender: httpx.Client, service: str, how: str
) -> None:
    number = new_nhs_number()
    said = message("REFREQ01", number, service) | {"id": str(uuid.uuid4())}
    carried = answered(send(sender, said))
    kinds = ("AllergyIntolerance", "Observation", "CarePlan", "Patient")
    for kind in kinds:
        await_status(sender, f"/fhir/{kind}/{one(carried, kind)['id']}", 200)
    mistake = copy.deepcopy(said) | {"id": str(uuid.uuid4())}
    if how == "delete":
        one(mistake, "MessageHeader")["reason"]["coding"][0]["code"] = "delete"
    else:
        mistake = message("SERVREQ01", number, service)
        one(mistake, "ServiceRequest").update(id=one(carried, "ServiceRequest")["id"], status="entered-in-error")

    deleted = answered(send(sender, mistake))

    assert [each["resourceType"] for each in resources(deleted)] == ["MessageHeader", "ServiceRequest"]
    for kind in kinds:
        await_status(sender, f"/fhir/{kind}/{one(carried, kind)['id']}", 410)


def await_status(client: httpx.Client, path: str, status: int) -> None:
    """Wait until the path answers with this status."""
    deadline = time.monotonic() + 20
    while (answer := client.get(path)).status_code != status:
        assert time.monotonic() < deadline, f"{path}: {answer.status_code}"
        time.sleep(0.1)


def test_a_booking_that_was_a_mistake_is_deleted(services: Services, sender: httpx.Client, service: str) -> None:
    number = new_nhs_number()
    said = message("BOOKREQ01", number, service)
    times = {"start": f"{DAY}T09:00:00Z", "end": f"{DAY}T09:10:00Z"}
    one(said, "Slot")["id"] = new_slot(services, service, *times.values())
    one(said, "Appointment").update(times)
    made = one(answered(send(sender, said)), "Appointment")
    deletion = copy.deepcopy(said) | {"id": str(uuid.uuid4())}
    one(deletion, "MessageHeader")["reason"]["coding"][0]["code"] = "delete"
    one(deletion, "MessageHeader").pop("definition")

    deleted = one(answered(send(sender, deletion)), "Appointment")

    assert (deleted["id"], deleted["status"]) == (made["id"], "entered-in-error")
