"""A BaRS message leads to more than a referral: record entries, events, bookings, and the reads of BaRS."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
from tests.bars import (
    DAY,
    DOS,
    SENDER,
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
from tests.publishing import SENT
from tests.referrals import act, say
from tests.stack import Services

from onestory.shared.fhir.validate import validate

pytestmark = needs_shared_data

Json = dict[str, Any]
_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"


def eventually(client: httpx.Client, path: str) -> Json:
    """Wait until the path answers with a resource, and return it."""
    deadline = time.monotonic() + 20
    answer = client.get(path)
    while answer.status_code == 404 and time.monotonic() < deadline:
        time.sleep(0.05)
        answer = client.get(path)
    assert answer.status_code == 200, answer.text
    said: Json = answer.json()
    return said


def test_everything_that_was_carried_is_readable_on_the_record_as_it_was_sent(
    sender: httpx.Client, service: str
) -> None:
    sent = message("REFREQ01", new_nhs_number(), service)
    said = answered(send(sender, sent))

    for kind in ("AllergyIntolerance", "MedicationStatement", "Observation", "Flag", "QuestionnaireResponse"):
        here = [each for each in resources(said) if each["resourceType"] == kind]
        before = [each for each in resources(sent) if each["resourceType"] == kind]
        assert len(here) == len(before)
        for mine, theirs in zip(here, before, strict=True):
            read = eventually(sender, f"/fhir/{kind}/{mine['id']}")
            assert read.get("code") == theirs.get("code")
            assert read["meta"]["tag"][0]["code"] == SENDER


def test_an_update_meets_what_was_said_before_and_doubles_nothing(sender: httpx.Client, service: str) -> None:
    number = new_nhs_number()
    first = message("REFREQ8A", number, service)
    one(first, "Patient")["identifier"] = [{"system": _NUMBER, "value": number}]
    said = [answered(send(sender, each)) for each in (first, message("REFREQ8C", number, service))]

    for kind in ("Condition", "Procedure", "Observation"):
        assert one(said[0], kind)["id"] == one(said[1], kind)["id"]
    eventually(sender, f"/fhir/Condition/{one(said[1], 'Condition')['id']}")
    listed = sender.get(f"/fhir/Condition?patient={number}").json()
    assert listed["total"] == 1


def test_a_receiver_answers_with_the_ids_that_it_was_given_and_states_nothing_of_others_again(
    sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    given = answered(send(sender, message("VALREQ01", number, service)))
    eventually(sender, f"/fhir/Encounter/{one(given, 'Encounter')['id']}")
    response = message("VALRESP01A", number, service)
    one(response, "ServiceRequest")["id"] = one(given, "ServiceRequest")["id"]
    one(response, "Encounter")["id"] = one(given, "Encounter")["id"]

    said = answered(send(receiver, response))

    assert one(said, "ServiceRequest")["id"] == one(given, "ServiceRequest")["id"]
    assert one(given, "Encounter")["id"] not in [each["id"] for each in resources(said)]


def test_a_receiver_may_name_at_once_what_it_stated_a_moment_ago(
    sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    answered(send(sender, message("VALREQ01", number, service)))
    taken = answered(send(receiver, message("VALRESP01A", number, service)))
    encounters = [each["id"] for each in resources(taken) if each["resourceType"] == "Encounter"]
    full = message("VALRESP01B", number, service)
    for each, name in zip(
        [each for each in resources(full) if each["resourceType"] == "Encounter"], encounters, strict=True
    ):
        each["id"] = name

    done = answered(send(receiver, full))

    assert [each["id"] for each in resources(done) if each["resourceType"] == "Encounter"] == encounters


def test_the_correlation_id_of_the_request_is_that_of_all_that_follows(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number, correlation_id = new_nhs_number(), str(uuid.uuid4())
    asked = answered(send(sender, message("VALREQ01", number, service), **{"X-Correlation-Id": correlation_id}))

    answered(send(receiver, message("VALRESP01A", number, service), **{"X-Correlation-Id": str(uuid.uuid4())}))

    with psycopg.connect(services.postgres) as connection:
        row = connection.execute(
            "select correlation_id, version from referral.referral where referral_id = %s",
            [one(asked, "ServiceRequest")["id"]],
        ).fetchone()
    assert row == (correlation_id, 3)


def test_a_referral_is_read_by_its_parties_alone(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    request = one(answered(send(sender, message("REFREQ03", number, service))), "ServiceRequest")
    search = f"/ServiceRequest?patient:identifier={quote(f'{_NUMBER}|{number}')}"

    for party in (sender, receiver):
        assert party.get(f"/ServiceRequest/{request['id']}").json() == request
        assert [each["resource"] for each in party.get(search).json()["entry"]] == [request]
    with services.client("RZ9") as stranger:
        assert issue(stranger.get(f"/ServiceRequest/{request['id']}"))[::3] == (404, "REC_NOT_FOUND")
        assert "entry" not in stranger.get(search).json()


@pytest.mark.parametrize(
    "query", ["", "patient:identifier=1", "patient:identifier=9990000018&colour=blue", "patient=9990000018"]
)
def test_a_search_that_cannot_be_understood_is_refused(sender: httpx.Client, query: str) -> None:
    for kind in ("ServiceRequest", "Appointment"):
        assert issue(sender.get(f"/{kind}?{query}"))[::3] == (400, "REC_BAD_REQUEST")


def test_slots_are_published_found_and_booked_for_a_referral(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number, name = new_nhs_number(), uuid.uuid4().hex
    actor = {"identifier": {"system": DOS, "value": service}}
    schedule = {"resourceType": "Schedule", "id": name, "actor": [actor]}
    times = {"start": f"{DAY}T09:00:00Z", "end": f"{DAY}T09:10:00Z"}
    slot = {
        "resourceType": "Slot",
        "id": name,
        "schedule": {"reference": f"Schedule/{name}"},
        "status": "free",
        **times,
    }
    for each in (schedule, slot):
        receiver.put(f"/fhir/{each['resourceType']}/{name}", json=each, headers=SENT).raise_for_status()
    asked = (
        f"/Slot?Schedule.actor:HealthcareService={service}&status=free&start=ge{DAY}T00:00:00Z&start=le{DAY}T23:00:00Z"
    )
    offered = found(sender, asked)
    request = one(answered(send(sender, message("REFREQ01", number, service))), "ServiceRequest")

    booking = message("BOOKREQ01", number, service)
    one(booking, "Slot")["id"] = offered["id"]
    one(booking, "Appointment").update(**times, basedOn=[{"reference": f"ServiceRequest/{request['id']}"}])
    made = one(answered(send(sender, booking)), "Appointment")

    assert sender.get(asked).json()["total"] == 0
    assert made["basedOn"] == [{"reference": f"ServiceRequest/{request['id']}"}]
    for party in (sender, receiver):
        assert party.get(f"/Appointment/{made['id']}").json() == made
        search = f"/Appointment?patient:identifier={quote(f'{_NUMBER}|{number}')}"
        assert [each["resource"]["id"] for each in party.get(search).json()["entry"]] == [made["id"]]
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute(
            "select business_status, version from referral.referral where referral_id = %s", [request["id"]]
        ).fetchone()
    assert row == ("BOOKED", 2)
    assert eventually(sender, f"/fhir/Appointment/{made['id']}")["status"] == "booked"
    with services.client("RZ9") as stranger:
        assert stranger.get(f"/Appointment/{made['id']}").status_code == 404


def found(client: httpx.Client, path: str) -> Json:
    """Wait until a search finds one Slot, and return it."""
    deadline = time.monotonic() + 20
    said = client.get(path)
    while said.status_code == 200 and not said.json()["total"] and time.monotonic() < deadline:
        time.sleep(0.05)
        said = client.get(path)
    assert said.status_code == 200, said.text
    (entry,) = [each for each in said.json()["entry"] if each["search"]["mode"] == "match"]
    slot: Json = entry["resource"]
    return slot


def test_a_booking_moves_to_another_slot_and_frees_the_first(
    services: Services, sender: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    times = [{"start": f"{DAY}T{hour}:00:00+00:00", "end": f"{DAY}T{hour}:10:00+00:00"} for hour in ("09", "10")]
    slots = [new_slot(services, service, each["start"], each["end"]) for each in times]
    booking = message("BOOKREQ01", number, service)
    one(booking, "Slot")["id"] = slots[0]
    one(booking, "Appointment").update(times[0])
    made = one(answered(send(sender, booking)), "Appointment")

    one(booking, "Slot")["id"] = slots[1]
    one(booking, "Appointment").update(times[1])
    one(booking, "MessageHeader")["reason"]["coding"][0]["code"] = "update"
    moved = one(answered(send(sender, booking)), "Appointment")

    assert moved["id"] == made["id"]
    assert moved["slot"] == [{"reference": f"Slot/{slots[1]}"}]
    assert eventually(sender, f"/fhir/Appointment/{made['id']}")["resourceType"] == "Appointment"
    free = sender.get(f"/Slot?Schedule.actor:HealthcareService={service}&status=free").json()
    assert [each["resource"]["id"] for each in free["entry"] if each["search"]["mode"] == "match"] == [slots[0]]


def test_two_bookings_at_once_have_one_slot(services: Services, sender: httpx.Client, service: str) -> None:
    slot = new_slot(services, service, f"{DAY}T09:00:00+00:00", f"{DAY}T09:10:00+00:00")

    def book(_: int) -> int:
        booking = message("BOOKREQ01", new_nhs_number(), service)
        one(booking, "Slot")["id"] = slot
        one(booking, "Appointment").update(start=f"{DAY}T09:00:00+00:00", end=f"{DAY}T09:10:00+00:00")
        return send(sender, booking).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(book, range(6)))

    assert statuses == [200, 409, 409, 409, 409, 409]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("", "http.Schedule.actor:HealthcareService"),
        ("Schedule.actor:HealthcareService=1&status=open", "http.status"),
        ("Schedule.actor:HealthcareService=1&start=gt2026-12-01", "http.start"),
        ("Schedule.actor:HealthcareService=1&start=eq2026-12-01T00:00:00Z", "http.start"),
    ],
)
def test_a_search_for_slots_says_what_it_lacks(sender: httpx.Client, query: str, place: str) -> None:
    assert issue(sender.get(f"/Slot?{query}"))[2] == place


def test_what_is_taken_is_told_to_anybody_and_what_each_message_holds_to_a_caller(
    services: Services, sender: httpx.Client, service: str
) -> None:
    with httpx.Client(base_url=services.base_url, trust_env=False) as anybody:
        statement = anybody.get("/metadata").json()
    definitions = sender.get(f"/MessageDefinition?context={service}").json()

    told = {each["definition"] for each in statement["messaging"][0]["supportedMessage"]}
    assert told == {each["resource"]["url"] for each in definitions["entry"]}
    assert definitions["total"] == 9
    for each in definitions["entry"]:
        codings = [context["valueCodeableConcept"]["coding"][0] for context in each["resource"]["useContext"]]
        assert {"system": DOS, "code": service} in codings


def test_a_sender_that_names_its_entries_alike_in_every_message_takes_nothing_from_anybody(
    sender: httpx.Client, service: str
) -> None:
    numbers = [new_nhs_number(), new_nhs_number()]
    said = [answered(send(sender, message("REFREQ01", number, service))) for number in numbers]
    again = message("REFREQ01", numbers[0], service) | {"id": str(uuid.uuid4())}

    said.append(answered(send(sender, again)))

    allergies = [one(each, "AllergyIntolerance")["id"] for each in said]
    assert len(set(allergies)) == 3
    for each in allergies:
        eventually(sender, f"/fhir/AllergyIntolerance/{each}")


def test_what_could_be_one_of_several_is_not_guessed(sender: httpx.Client, service: str) -> None:
    number = new_nhs_number()
    requests = [message("VALREQ01", number, service) | {"id": str(uuid.uuid4())} for _ in range(2)]
    first, _ = [one(answered(send(sender, each)), "ServiceRequest") for each in requests]
    cancellation = message("SERVREQ01", number, service)

    assert issue(send(sender, cancellation))[::3] == (409, "REC_CONFLICT")
    one(cancellation, "ServiceRequest")["id"] = first["id"]

    assert one(answered(send(sender, cancellation)), "ServiceRequest")["status"] == "revoked"


def test_what_is_answered_is_valid_fhir(services: Services, sender: httpx.Client, service: str) -> None:
    number, slot = new_nhs_number(), new_slot(services, service, f"{DAY}T09:00:00Z", f"{DAY}T09:10:00Z")
    booking = message("BOOKREQ01", number, service)
    one(booking, "Slot")["id"] = slot
    one(booking, "Appointment").update(start=f"{DAY}T09:00:00Z", end=f"{DAY}T09:10:00Z")
    of_person = f"patient:identifier={quote(f'{_NUMBER}|{number}')}"

    answers = [send(sender, message(name, number, service)) for name in ("REFREQ01", "REFREQ03", "VALREQ01")]
    answers += [send(sender, booking), send(sender, booking)]
    answers += [sender.get(f"/{kind}?{of_person}") for kind in ("ServiceRequest", "Appointment")]
    answers += [sender.get(f"/Slot?Schedule.actor:HealthcareService={service}"), sender.get("/metadata")]
    answers.append(sender.get(f"/MessageDefinition?context={service}"))

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 409, 200, 200, 200, 200, 200]
    for answer in answers:
        assert validate(answer.content) == [], answer.url


def test_a_message_that_does_not_say_the_number_takes_nothing_from_the_person_who_has_it(
    sender: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    first = message("REFREQ8A", number, service)
    one(first, "Patient")["identifier"] = [{"system": _NUMBER, "value": number}]
    given = answered(send(sender, first))
    condition = f"/fhir/Condition/{one(given, 'Condition')['id']}"
    eventually(sender, condition)
    nameless = message("REFREQ8C", number, service)
    one(nameless, "ServiceRequest")["id"] = one(given, "ServiceRequest")["id"]
    one(nameless, "Patient").pop("identifier")

    said = answered(send(sender, nameless))

    assert one(said, "Condition")["id"] != one(given, "Condition")["id"]
    eventually(sender, f"/fhir/Condition/{one(said, 'Condition')['id']}")
    assert sender.get(condition).status_code == 200


def test_an_appointment_that_is_cancelled_while_a_question_waits_leaves_no_time_of_its_own(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number, times = new_nhs_number(), {"start": _in(100, 9), "end": _in(100, 10)}
    slot = new_slot(services, service, times["start"], times["end"])
    asked = message("REFREQ01", number, service)
    request = one(answered(send(sender, asked)), "ServiceRequest")
    task_id, tag, _ = state(services, request["id"])
    accepted = act(receiver, task_id, "accept", tag)
    unbooked_due = state(services, request["id"])[2]
    booking = message("BOOKREQ01", number, service)
    one(booking, "Slot")["id"] = slot
    one(booking, "Appointment").update(**times, basedOn=[{"reference": f"ServiceRequest/{request['id']}"}])
    made = one(answered(send(sender, booking)), "Appointment")
    assert state(services, request["id"])[2] > unbooked_due
    question = say(receiver, task_id, state(services, request["id"])[1], "question")
    assert question.status_code == 200, question.text

    ended = message("BOOKREQ02", number, service)
    one(ended, "Appointment")["id"] = made["id"]
    answered(send(sender, ended))
    say(sender, task_id, state(services, request["id"])[1], "answer", "Yes.")

    assert accepted.status_code == 200
    assert state(services, request["id"])[2] - unbooked_due < timedelta(hours=1)


def test_an_appointment_with_another_team_than_was_asked_leaves_the_referrals_clock_alone(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number, times, elsewhere = new_nhs_number(), {"start": _in(3, 9), "end": _in(3, 10)}, new_service(services, "RYF")
    slot = new_slot(services, elsewhere, times["start"], times["end"], "RYF")
    request = one(answered(send(sender, message("REFREQ01", number, service))), "ServiceRequest")
    task_id, tag, _ = state(services, request["id"])
    accepted = act(receiver, task_id, "accept", tag)
    assert accepted.status_code == 200, accepted.text
    due = state(services, request["id"])[2]
    booking = message("BOOKREQ01", number, elsewhere)
    one(booking, "Slot")["id"] = slot
    one(booking, "Appointment").update(**times, basedOn=[{"reference": f"ServiceRequest/{request['id']}"}])

    answered(send(sender, booking))

    assert state(services, request["id"])[2] == due
    task = receiver.get(f"/fhir/Task/{task_id}").json()
    assert task["businessStatus"]["coding"][0]["code"] == "NOT_BOOKED"


def _in(days: int, hour: int) -> str:
    return f"{datetime.now(UTC).date() + timedelta(days=days)}T{hour:02}:00:00+00:00"


def state(services: Services, referral_id: str) -> tuple[str, str, datetime]:
    """Return the id of the current Task, its ETag, and the due time of the next actor."""
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute(
            "select task_id, changed_by, due_at from referral.referral where referral_id = %s", [referral_id]
        ).fetchone()
    assert row is not None
    return row[0], f'W/"{row[1]}"', row[2]
