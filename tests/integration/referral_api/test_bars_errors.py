"""Refused BaRS messages get the status and codes of the standard, and the place of the error."""

from __future__ import annotations

import contextlib
import copy
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from tests.bars import (
    SENDER,
    answered,
    encoded,
    issue,
    message,
    new_service,
    new_slot,
    one,
    organisation,
    published,
    resources,
    send,
)
from tests.contract.shared_data import needs_shared_data
from tests.people import new_nhs_number
from tests.stack import Services

from onestory.local.state import secret
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier

pytestmark = needs_shared_data

Json = dict[str, Any]
Change = Callable[[Json], object]
_REASONS = "https://fhir.nhs.uk/CodeSystem/message-reason-bars"
_CATEGORY = "https://fhir.nhs.uk/CodeSystem/message-category-servicerequest"
_DEFINITION = "https://fhir.nhs.uk/MessageDefinition/"


def header(said: Json) -> Json:
    return one(said, "MessageHeader")


def without(resource_type: str) -> Change:
    def change(said: Json) -> None:
        said["entry"] = [each for each in said["entry"] if each["resource"]["resourceType"] != resource_type]

    return change


def twice(resource_type: str) -> Change:
    def change(said: Json) -> None:
        entry = next(each for each in said["entry"] if each["resource"]["resourceType"] == resource_type)
        said["entry"].append(copy.deepcopy(entry) | {"fullUrl": f"urn:uuid:{uuid.uuid4()}"})

    return change


def status(resource_type: str, value: str) -> Change:
    return lambda said: one(said, resource_type).update(status=value)


def reason(code: str) -> Change:
    return lambda said: header(said).update(reason={"coding": [{"system": _REASONS, "code": code}]})


def event(code: str) -> Change:
    return lambda said: header(said)["eventCoding"].update(code=code)


def definition(name: str) -> Change:
    return lambda said: header(said).update(definition=f"{_DEFINITION}{name}")


_FORM: dict[str, tuple[Change, tuple[int, str, str, str]]] = {
    "no message": (
        lambda said: said.update(type="collection"),
        (400, "value", "Bundle.type", "REC_BAD_REQUEST"),
    ),
    "no version": (
        lambda said: said["meta"].pop("versionId"),
        (400, "invariant", "Bundle.meta.versionId", "REC_BAD_REQUEST"),
    ),
    "an unknown version": (
        lambda said: said["meta"].update(versionId="9.9.9"),
        (422, "not-supported", "Bundle.meta.versionId", "REC_UNPROCESSABLE_ENTITY"),
    ),
    "no profile": (
        lambda said: said["meta"].pop("profile"),
        (400, "structure", "Bundle.meta.profile", "REC_BAD_REQUEST"),
    ),
    "no id": (lambda said: said.pop("id"), (400, "required", "Bundle.id", "REC_BAD_REQUEST")),
    "not FHIR": (
        lambda said: one(said, "Patient").update(gender="unsure"),
        (400, "code-invalid", "Bundle.entry[5].resource.gender", "REC_BAD_REQUEST"),
    ),
    "a header that is not first": (
        lambda said: said["entry"].reverse(),
        (400, "invariant", "Bundle.entry[0].resource", "REC_BAD_REQUEST"),
    ),
    "an answer to a booking": (
        event("booking-response"),
        (400, "not-supported", "Bundle.entry[0].resource.eventCoding.code", "REC_BAD_REQUEST"),
    ),
    "a definition of another event": (
        definition("bars-message-booking-request"),
        (400, "invariant", "Bundle.entry[0].resource.definition", "REC_BAD_REQUEST"),
    ),
    "a definition that nobody has published": (
        definition("bars-message-order"),
        (400, "not-supported", "Bundle.entry[0].resource.definition", "REC_BAD_REQUEST"),
    ),
    "too few of a type": (
        without("Consent"),
        (400, "required", "Bundle.entry.resource.ofType(Consent)", "REC_BAD_REQUEST"),
    ),
    "too many of a type": (
        twice("CarePlan"),
        (400, "invariant", "Bundle.entry[25].resource", "REC_BAD_REQUEST"),
    ),
    "a focus that is not there": (
        lambda said: header(said).update(focus=[{"reference": "urn:uuid:nowhere"}]),
        (400, "invariant", "Bundle.entry[0].resource.focus", "REC_BAD_REQUEST"),
    ),
    "an NHS number with a wrong check digit": (
        lambda said: one(said, "Patient")["identifier"][0].update(value="9990000019"),
        (400, "value", "Bundle.entry[5].resource.identifier[0].value", "REC_BAD_REQUEST"),
    ),
    "a subject that is not the Patient": (
        lambda said: one(said, "ServiceRequest").update(subject={"reference": "Patient/9990000018"}),
        (400, "invariant", "Bundle.entry[3].resource.subject", "REC_BAD_REQUEST"),
    ),
    "a service that nobody knows": (
        lambda said: (
            header(said)["destination"][0].update(endpoint="https://fhir.nhs.uk/Id/dos-service-id|999999999"),
            one(said, "ServiceRequest").pop("performer"),
        ),
        (400, "not-found", "Bundle.entry[0].resource.destination.endpoint", "REC_BAD_REQUEST"),
    ),
    "no service": (
        lambda said: (header(said).pop("destination"), one(said, "ServiceRequest").pop("performer")),
        (400, "required", "Bundle.entry[0].resource.destination.endpoint", "REC_BAD_REQUEST"),
    ),
    "another sender": (
        lambda said: header(said).update(sender=header(said)["destination"][0]["receiver"]),
        (403, "forbidden", "Bundle.entry[0].resource.sender", "REC_FORBIDDEN"),
    ),
}
_WORKFLOW: dict[str, Change] = {
    "a care plan that is not completed": status("CarePlan", "active"),
    "an encounter that is still going on": status("Encounter", "in-progress"),
    "a draft": status("ServiceRequest", "draft"),
    "new and revoked": status("ServiceRequest", "revoked"),
    "an update that does not cancel": reason("update"),
    "a cancellation that is new": definition("bars-message-servicerequest-request-cancelled"),
    "a validation by the definition of a referral": lambda said: one(said, "ServiceRequest").update(
        category=[{"coding": [{"system": _CATEGORY, "code": "validation"}]}]
    ),
}


@pytest.mark.parametrize("what", _FORM)
def test_what_is_wrong_with_a_message_is_told_with_its_place(sender: httpx.Client, service: str, what: str) -> None:
    change, expected = _FORM[what]
    said = message("REFREQ01", new_nhs_number(), service)
    change(said)

    refused = send(sender, said)

    assert issue(refused) == expected, refused.text
    assert refused.json()["issue"][0]["details"]["coding"][0]["system"].endswith("/CodeSystem/http-error-codes")


@pytest.mark.parametrize("what", _WORKFLOW)
def test_a_combination_that_is_no_workflow_is_refused(sender: httpx.Client, service: str, what: str) -> None:
    said = message("REFREQ01", new_nhs_number(), service)
    _WORKFLOW[what](said)

    refused = send(sender, said)

    assert issue(refused)[:2] == (400, "invariant"), refused.text


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Request-Id": ""}, (400, "value", "http.X-Request-Id")),
        ({"X-Request-Id": "one"}, (400, "value", "http.X-Request-Id")),
        ({"X-Correlation-Id": "one"}, (400, "value", "http.X-Correlation-Id")),
        ({"NHSD-Target-Identifier": "%%"}, (400, "value", "http.NHSD-Target-Identifier")),
        ({"NHSD-Target-Identifier": encoded({"value": "1"})}, (400, "value", "http.NHSD-Target-Identifier")),
        ({"NHSD-End-User-Organisation": "e30x"}, (400, "value", "http.NHSD-End-User-Organisation")),
        (
            {"NHSD-End-User-Organisation": encoded({"resourceType": "Organization"})},
            (400, "required", "http.NHSD-End-User-Organisation"),
        ),
        (
            {"NHSD-End-User-Organisation": encoded(organisation("A81001"))},
            (403, "forbidden", "http.NHSD-End-User-Organisation"),
        ),
        ({"NHSD-Requesting-Practitioner": encoded([])}, (400, "value", "http.NHSD-Requesting-Practitioner")),
        ({"NHSD-Requesting-Software": "bm8="}, (400, "value", "http.NHSD-Requesting-Software")),
    ],
)
def test_a_header_that_cannot_be_read_is_named(
    sender: httpx.Client, service: str, headers: dict[str, str], expected: tuple[int, str, str]
) -> None:
    refused = send(sender, message("REFREQ01", new_nhs_number(), service), **headers)

    assert issue(refused)[:3] == expected, refused.text


def test_headers_that_fit_are_taken_and_the_request_is_named_in_the_answer(sender: httpx.Client, service: str) -> None:
    named = {
        "X-Request-Id": str(uuid.uuid4()),
        "X-Correlation-Id": str(uuid.uuid4()),
        "NHSD-Target-Identifier": encoded({"system": "https://fhir.nhs.uk/Id/dos-service-id", "value": service}),
        "NHSD-End-User-Organisation": encoded(organisation(SENDER)),
        "NHSD-Requesting-Practitioner": encoded({"resourceType": "PractitionerRole"}),
        "NHSD-Requesting-Software": encoded({"resourceType": "Device"}),
    }

    answer = send(sender, message("REFREQ01", new_nhs_number(), service), path="/fhir/$process-message", **named)

    answered(answer)
    assert {name: answer.headers[name] for name in ("X-Request-Id", "X-Correlation-Id")}.items() <= named.items()


def test_a_message_for_another_service_than_the_target_is_refused(
    services: Services, sender: httpx.Client, service: str
) -> None:
    other = encoded({"system": "https://fhir.nhs.uk/Id/dos-service-id", "value": new_service(services)})

    refused = send(sender, message("REFREQ01", new_nhs_number(), service), **{"NHSD-Target-Identifier": other})

    assert issue(refused)[:2] == (400, "invariant"), refused.text


def test_without_a_request_id_nothing_is_done(sender: httpx.Client, service: str) -> None:
    said = message("REFREQ01", new_nhs_number(), service)

    refused = sender.post("/$process-message", json=said, headers={"Content-Type": "application/fhir+json"})

    assert issue(refused) == (400, "required", "http.X-Request-Id", "REC_BAD_REQUEST")


def test_without_a_token_nothing_is_said_but_that(services: Services, service: str) -> None:
    with httpx.Client(base_url=services.base_url, trust_env=False) as nobody:
        refused = send(nobody, message("REFREQ01", new_nhs_number(), service))

    assert issue(refused)[::3] == (401, "REC_UNAUTHORIZED")


def test_a_message_that_is_sent_again_is_done_once_and_says_what_came_of_it(sender: httpx.Client, service: str) -> None:
    said, request_id = message("REFREQ01", new_nhs_number(), service), str(uuid.uuid4())
    made = one(answered(send(sender, said, **{"X-Request-Id": request_id})), "ServiceRequest")

    again = send(sender, said, **{"X-Request-Id": request_id})
    other_id = send(sender, said)

    for refused in (again, other_id):
        assert issue(refused)[:2] == (409, "duplicate"), refused.text
        assert issue(refused)[3] == "REC_CONFLICT"
        assert made["id"] in refused.json()["issue"][0]["diagnostics"]


def test_a_message_that_was_refused_may_be_mended_and_sent_with_the_same_id(sender: httpx.Client, service: str) -> None:
    said, request_id = message("REFREQ01", new_nhs_number(), service), str(uuid.uuid4())
    broken = copy.deepcopy(said)
    status("CarePlan", "active")(broken)
    assert send(sender, broken, **{"X-Request-Id": request_id}).status_code == 400

    answered(send(sender, said, **{"X-Request-Id": request_id}))


def test_an_id_that_is_being_processed_is_too_early(services: Services, sender: httpx.Client, service: str) -> None:
    said, request_id = message("REFREQ01", new_nhs_number(), service), str(uuid.uuid4())
    with psycopg.connect(services.postgres) as other:
        other.execute(
            "select pg_advisory_xact_lock(hashtextextended('bars ' || %s || ' ' || %s, 0))", [SENDER, request_id]
        )

        refused = send(sender, said, **{"X-Request-Id": request_id})

    assert issue(refused)[::3] == (425, "REC_TOO_EARLY"), refused.text
    answered(send(sender, said, **{"X-Request-Id": request_id}))


@contextlib.contextmanager
def held(services: Services, number: str) -> Iterator[None]:
    """Hold the person's lock inside this context, so that no other transaction changes the person's referrals."""
    key = Keys(secret(services.home, "key-secret").encode()).person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, number))
    with psycopg.connect(services.postgres) as connection:
        connection.execute("select pg_advisory_xact_lock(hashtextextended('referral ' || %s, 0))", [key])
        yield


def count(services: Services, number: str) -> int:
    """Return how many referrals the person has."""
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute("select count(*) from referral.referral where person_value = %s", [number]).fetchone()
    assert row is not None
    return int(row[0])


def test_what_takes_too_long_is_given_up_and_can_be_sent_again(
    services: Services, sender: httpx.Client, service: str
) -> None:
    number, request_id = new_nhs_number(), str(uuid.uuid4())
    said = message("REFREQ01", number, service)

    with held(services, number):
        refused = send(sender, said, **{"X-Request-Id": request_id})

    assert issue(refused)[::3] == (408, "REC_TIMEOUT"), refused.text
    assert count(services, number) == 0
    answered(send(sender, said, **{"X-Request-Id": request_id}))
    assert count(services, number) == 1


def waits(services: Services) -> bool:
    """Return whether a transaction waits for a person's lock."""
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute("select count(*) from pg_locks where locktype = 'advisory' and not granted").fetchone()
    return bool(row and row[0])


def test_a_process_that_is_killed_in_the_middle_neither_loses_nor_doubles_a_message(
    services: Services, sender: httpx.Client, service: str
) -> None:
    number, request_id = new_nhs_number(), str(uuid.uuid4())
    said = message("REFREQ01", number, service)

    with held(services, number), ThreadPoolExecutor() as pool:
        sending = pool.submit(send, sender, said, **{"X-Request-Id": request_id})
        deadline = time.monotonic() + 20
        while not waits(services) and time.monotonic() < deadline:
            time.sleep(0.02)
        services.kill("serve")
        with pytest.raises(httpx.TransportError):
            sending.result()
    assert count(services, number) == 0
    services.start("serve")

    answered(send(sender, said, **{"X-Request-Id": request_id}))
    again = send(sender, said, **{"X-Request-Id": request_id})

    assert issue(again)[:2] == (409, "duplicate")
    assert count(services, number) == 1


def test_a_response_to_nothing_that_is_known_is_not_found(receiver: httpx.Client, service: str) -> None:
    said = message("REFRESP01", new_nhs_number(), service)
    header(said)["response"]["identifier"] = str(uuid.uuid4())

    refused = send(receiver, said)

    expected = (404, "not-found", "Bundle.entry[0].resource.response.identifier", "REC_NOT_FOUND")
    assert issue(refused) == expected, refused.text


def test_only_the_team_that_was_asked_responds(services: Services, sender: httpx.Client, service: str) -> None:
    number = new_nhs_number()
    answered(send(sender, message("VALREQ01", number, service)))
    said = message("VALRESP01A", number, service)

    by_sender = send(sender, said)
    with services.client("RZ4") as stranger:
        by_stranger = send(stranger, said)

    assert issue(by_sender)[::3] == (403, "REC_FORBIDDEN"), by_sender.text
    assert issue(by_stranger)[::3] == (404, "REC_NOT_FOUND"), by_stranger.text


def test_a_response_about_somebody_else_changes_nothing(
    sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    request = one(
        answered(send(sender, message("VALREQ01", new_nhs_number(), service) | {"id": f"{service}"})), "ServiceRequest"
    )
    said = message("VALRESP01A", new_nhs_number(), service)
    header(said)["response"]["identifier"] = service

    refused = send(receiver, said)

    assert issue(refused)[:2] == (400, "invariant"), refused.text
    assert sender.get(f"/ServiceRequest/{request['id']}").json() == request


def test_a_full_response_comes_once_the_receiver_has_finished(
    sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    answered(send(sender, message("VALREQ01", number, service)))
    said = message("VALRESP01B", number, service)
    header(said)["response"]["identifier"] = published("VALREQ01")["id"]
    of_receiver = [each for each in resources(said) if each["resourceType"] == "Encounter"][1]
    of_receiver["status"] = "planned"

    assert issue(send(receiver, said))[:2] == (400, "invariant")


def test_a_referral_that_has_ended_cannot_be_cancelled_by_message(
    sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    answered(send(sender, message("VALREQ01", number, service)))
    said = message("VALRESP01B", number, service)
    header(said)["response"]["identifier"] = published("VALREQ01")["id"]
    answered(send(receiver, said))

    refused = send(sender, message("SERVREQ01", number, service))

    assert issue(refused)[::3] == (409, "REC_CONFLICT"), refused.text
    assert "completed" in refused.json()["issue"][0]["diagnostics"]


def test_a_cancellation_of_nothing_is_not_found(sender: httpx.Client, service: str) -> None:
    assert issue(send(sender, message("SERVREQ01", new_nhs_number(), service)))[::3] == (404, "REC_NOT_FOUND")


def test_an_update_with_an_empty_id_is_refused_as_it_was_published(sender: httpx.Client) -> None:
    refused = send(sender, published("REFREQ8B"))

    assert issue(refused)[:3] == (400, "structure", "Bundle.entry[3].resource._id"), refused.text


def test_a_booking_at_another_time_than_its_slot_is_refused_as_it_was_published(
    services: Services, sender: httpx.Client, service: str
) -> None:
    said = message("BOOKREQ01", new_nhs_number(), service)
    slot = one(said, "Slot")
    slot["id"] = new_slot(services, service, slot["start"], slot["end"])

    refused = send(sender, said)

    assert issue(refused)[:3] == (400, "invariant", "Bundle.entry[1].resource.start"), refused.text


@pytest.mark.parametrize(
    "change",
    [
        status("Appointment", "proposed"),
        status("Appointment", "cancelled"),
        definition("bars-message-booking-request-cancelled"),
    ],
)
def test_a_booking_that_is_no_workflow_is_refused(sender: httpx.Client, service: str, change: Change) -> None:
    said = message("BOOKREQ01", new_nhs_number(), service)
    change(said)

    assert issue(send(sender, said))[:2] == (400, "invariant")


def test_a_slot_that_nobody_offers_is_a_conflict(sender: httpx.Client, service: str) -> None:
    refused = send(sender, message("BOOKREQ01", new_nhs_number(), service))

    assert issue(refused) == (409, "conflict", "Bundle.entry[1].resource.slot", "REC_CONFLICT"), refused.text


def test_a_cancelled_appointment_is_not_cancelled_again_and_a_strangers_not_at_all(
    services: Services, sender: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    booking = message("BOOKREQ01", number, service)
    appointment = one(booking, "Appointment")
    one(booking, "Slot")["id"] = new_slot(services, service, appointment["start"], appointment["end"])
    made = one(answered(send(sender, booking)), "Appointment")
    cancellation = message("BOOKREQ02", number, service)
    one(cancellation, "Appointment")["id"] = made["id"]

    with services.client("RZ9") as stranger:
        assert issue(send(stranger, cancellation))[::3] == (404, "REC_NOT_FOUND")
    answered(send(sender, cancellation))

    assert issue(send(sender, cancellation))[::3] == (409, "REC_CONFLICT")


def test_the_same_message_sent_by_several_at_once_is_done_once(
    services: Services, sender: httpx.Client, service: str
) -> None:
    number, request_id = new_nhs_number(), str(uuid.uuid4())
    said = message("REFREQ01", number, service)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(sender, said, **{"X-Request-Id": request_id}).status_code, range(8)))

    assert answers.count(200) == 1
    assert set(answers) <= {200, 409, 425}
    assert count(services, number) == 1


@pytest.mark.parametrize(
    "path",
    ["/ServiceRequest/%00", "/Appointment/%00", "/Slot?Schedule.actor:HealthcareService=%00", "/ServiceRequest/x"],
)
def test_an_address_that_cannot_be_is_refused(sender: httpx.Client, path: str) -> None:
    answer = sender.get(path)

    assert answer.status_code in (200, 400, 404), answer.text


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda said: said.update(id="m" * 5000), "Bundle.id"),
        (lambda said: said.update(id="one two"), "Bundle.id"),
        (
            lambda said: said["entry"].append({"fullUrl": "urn:x:" + "u" * 5000, "resource": one(said, "Flag")}),
            "Bundle.entry[25].fullUrl",
        ),
    ],
)
def test_a_name_that_cannot_be_kept_is_refused(sender: httpx.Client, service: str, change: Change, place: str) -> None:
    said = message("REFREQ01", new_nhs_number(), service)
    change(said)

    refused = send(sender, said)

    assert issue(refused)[:3:2] == (400, place), refused.text
