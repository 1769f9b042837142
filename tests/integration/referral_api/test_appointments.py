"""Appointments of a referral, and bookings without one: everywhere their time is shown, and everybody who hears."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from tests.bars import DAY, RECEIVER, SENDER, answered, issue, message, new_slot, one, send
from tests.contract.shared_data import needs_shared_data
from tests.people import new_nhs_number
from tests.referrals import REASON, act, read, refer, service_request, task_of
from tests.stack import Services

pytestmark = needs_shared_data

Json = dict[str, Any]
_WAIT_S = 20.0


def start_in(days: int) -> tuple[Json, str]:
    """The parameter for an appointment in this number of days, and its time as answers show it."""
    moment = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    return {"name": "start", "valueInstant": moment.isoformat()}, moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def accepted(surgery: httpx.Client, nurses: httpx.Client, team: str) -> httpx.Response:
    """The answer to the acceptance of a new referral."""
    sent = refer(surgery, service_request(new_nhs_number(), team, priority="routine"))
    return act(nurses, task_of(sent), "accept", sent.headers["ETag"]).raise_for_status()


def notices(client: httpx.Client, code: str) -> list[Json]:
    """The notices of this code that the client can read."""
    said: Json = client.get("/notices?count=200").raise_for_status().json()
    return [each for each in said["notices"] if each["code"] == code]


def eventually(client: httpx.Client, code: str, appointment: str) -> Json:
    """Wait for a notice of this code about an appointment, and return it."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        for each in notices(client, code):
            if appointment in [shown["appointment"] for shown in each["appointments"]]:
                return each
        assert time.monotonic() < deadline, f"no notice {code}"
        time.sleep(0.1)


def booking(services: Services, number: str, service: str, day: str = DAY) -> Json:
    """A booking message for a new Slot on this day."""
    said = message("BOOKREQ01", number, service)
    times = {"start": f"{day}T09:00:00+00:00", "end": f"{day}T09:10:00+00:00"}
    one(said, "Slot")["id"] = new_slot(services, service, times["start"], times["end"])
    one(said, "Appointment").update(times)
    return said


def cancellation(number: str, service: str, appointment: Json) -> Json:
    """The message that cancels an appointment, as anybody may send it."""
    said = message("BOOKREQ02", number, service)
    one(said, "Appointment").update(id=appointment["id"], start=appointment["start"], end=appointment["end"])
    one(said, "MessageHeader").pop("sender", None)
    return said


def execute(services: Services, statement: str, *values: object) -> list[Any]:
    """Run SQL, and return its rows."""
    with psycopg.connect(services.postgres) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def test_the_time_is_on_task_list_notice_and_history_and_stays_after_a_later_command(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    task = accepted(surgery, nurses, team)
    (start, shown), task_id = start_in(12), task.json()["id"]

    booked = act(nurses, task_id, "book", task.headers["ETag"], start).raise_for_status()
    started = act(nurses, task_id, "start", booked.headers["ETag"]).raise_for_status()

    assert shown in booked.text
    assert shown in started.text
    assert shown in read(surgery, task_id).text
    (row,) = nurses.get(f"/worklists/teams/{team}").json()["rows"]
    assert row["nextAppointment"]["start"] == shown
    assert row["businessStatus"] == "BOOKED"
    assert [each["start"] for each in notices(surgery, "referral-booked")[0]["appointments"]] == [shown]
    deadline = time.monotonic() + _WAIT_S
    while shown not in surgery.get(f"/fhir/Task/{task_id}/_history").text:
        assert time.monotonic() < deadline, "the history lacks the appointment"
        time.sleep(0.1)


@pytest.mark.parametrize("start", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59+14:00", "2999-01-01T00:00:00Z"])
def test_a_time_that_nobody_means_is_refused(
    surgery: httpx.Client, nurses: httpx.Client, team: str, start: str
) -> None:
    task = accepted(surgery, nurses, team)
    parameter = {"name": "start", "valueDateTime": start}

    assert act(nurses, task.json()["id"], "book", task.headers["ETag"], parameter).status_code == 422


def test_non_attendance_is_told_as_such(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    task = accepted(surgery, nurses, team)
    booked = act(nurses, task.json()["id"], "book", task.headers["ETag"], start_in(7)[0]).raise_for_status()
    word = {"name": "businessStatus", "valueCode": "DID_NOT_ATTEND"}

    act(nurses, task.json()["id"], "book", booked.headers["ETag"], word).raise_for_status()

    (notice,) = [each for each in notices(surgery, "referral-not-attended") if each["task"] == task.json()["id"]]
    assert [each["status"] for each in notice["appointments"]] == ["noshow"]


@pytest.fixture
def referral(sender: httpx.Client, service: str) -> tuple[str, str]:
    """A person, and the id of their referral by message."""
    number = new_nhs_number()
    return number, one(answered(send(sender, message("REFREQ06", number, service))), "ServiceRequest")["id"]


def task_in_force(services: Services, referral_id: str) -> tuple[str, str]:
    """The id and the ETag of the referral's Task in force."""
    ((task_id, version),) = execute(
        services, "select task_id, changed_by from referral.referral where referral_id = %s", referral_id
    )
    return task_id, f'W/"{version}"'


def word(client: httpx.Client, task_id: str) -> str:
    """Task.businessStatus."""
    return str(read(client, task_id).json()["businessStatus"]["coding"][0]["code"])


def based_on(said: Json, referral_id: str) -> Json:
    """The same message, as an appointment for this referral."""
    one(said, "Appointment")["basedOn"] = [{"reference": f"ServiceRequest/{referral_id}"}]
    return said


def test_several_bookings_count_and_the_end_of_one_leaves_the_other(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str, referral: tuple[str, str]
) -> None:
    number, referral_id = referral
    later = str(datetime.now(UTC).date() + timedelta(days=40))
    first, second = (
        one(answered(send(sender, based_on(booking(services, number, service, day), referral_id))), "Appointment")
        for day in (DAY, later)
    )
    task_id, tag = task_in_force(services, referral_id)

    act(receiver, task_id, "accept", tag).raise_for_status()
    assert word(receiver, task_id) == "BOOKED"
    due = read(receiver, task_id).json()["restriction"]["period"]["end"]
    answered(send(sender, cancellation(number, service, first)))

    task = read(receiver, task_id).json()
    assert word(receiver, task_id) == "BOOKED"
    assert task["restriction"]["period"]["end"] > due or due > DAY
    assert second["id"] in str(task["extension"])
    assert sender.get(f"/Appointment/{second['id']}").json()["status"] == "booked"
    answered(send(sender, cancellation(number, service, second)))
    assert word(receiver, task_id) == "NOT_BOOKED"


def test_the_end_of_a_referral_asks_for_its_appointments_and_frees_the_slot_of_a_cancelled_one(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str, referral: tuple[str, str]
) -> None:
    number, referral_id = referral
    said = based_on(booking(services, number, service), referral_id)
    made = one(answered(send(sender, said)), "Appointment")
    task_id, tag = task_in_force(services, referral_id)
    tag = act(receiver, task_id, "accept", tag).raise_for_status().headers["ETag"]

    refused = act(receiver, task_id, "cancel", tag, REASON)
    ended = act(receiver, task_id, "cancel", tag, REASON, {"name": "appointments", "valueCode": "cancel"})

    assert refused.status_code == 422
    assert "appointments" in refused.json()["issue"][0]["expression"][0]
    assert ended.status_code == 200, ended.text
    now = sender.get(f"/Appointment/{made['id']}").json()
    assert (now["status"], now["cancelationReason"]) == ("cancelled", REASON["valueCodeableConcept"])
    free = sender.get(f"/Slot?Schedule.actor:HealthcareService={service}&status=free").json()
    assert [each["resource"]["id"] for each in free["entry"] if each["search"]["mode"] == "match"] == [
        one(said, "Slot")["id"]
    ]
    eventually(sender, "referral-cancelled", made["id"])
    deadline = time.monotonic() + _WAIT_S
    while sender.get(f"/fhir/Appointment/{made['id']}").json().get("status") != "cancelled":
        assert time.monotonic() < deadline, "the record lacks the cancellation"
        time.sleep(0.1)


def test_whoever_booked_and_the_team_hear_of_a_booking_without_a_referral(
    services: Services, sender: httpx.Client, receiver: httpx.Client, service: str
) -> None:
    number = new_nhs_number()
    made = one(answered(send(sender, booking(services, number, service))), "Appointment")
    told = eventually(receiver, "appointment-booked", made["id"])

    answered(send(receiver, cancellation(number, service, made)))

    heard = eventually(sender, "appointment-cancelled", made["id"])
    assert (told["as"], heard["as"]) == ("recipient", "requester")
    assert [each["status"] for each in heard["appointments"]] == ["cancelled"]
    assert made["id"] not in str(notices(sender, "appointment-booked"))


@pytest.fixture
def past(services: Services, sender: httpx.Client, service: str) -> tuple[str, Json]:
    """A person, and their appointment that has begun."""
    number = new_nhs_number()
    made = one(answered(send(sender, booking(services, number, service))), "Appointment")
    execute(
        services,
        "update referral.booking set starts_at = now() - interval '1 minute' where appointment_id = %s",
        made["id"],
    )
    return number, made


def test_a_slot_of_the_past_is_neither_offered_nor_booked(
    services: Services, sender: httpx.Client, service: str
) -> None:
    said = booking(services, new_nhs_number(), service, "2026-10-01")

    refused = send(sender, said)
    listed = sender.get(f"/Slot?Schedule.actor:HealthcareService={service}&start=ge2026-10-01T00:00:00Z")

    assert issue(refused)[:2] == (409, "conflict"), refused.text
    assert listed.json()["total"] == 0


def test_an_appointment_of_the_past_is_not_moved_or_cancelled_but_a_mistake_is_corrected(
    services: Services, sender: httpx.Client, service: str, past: tuple[str, Json]
) -> None:
    number, made = past
    moved = booking(services, number, service)
    one(moved, "Appointment")["id"] = made["id"]
    one(moved, "MessageHeader")["reason"]["coding"][0]["code"] = "update"
    mistake = cancellation(number, service, made)
    one(mistake, "Appointment")["status"] = "entered-in-error"

    assert issue(send(sender, moved))[:2] == (409, "conflict")
    assert issue(send(sender, cancellation(number, service, made)))[:2] == (409, "conflict")
    assert one(answered(send(sender, mistake)), "Appointment")["status"] == "entered-in-error"


@pytest.fixture
def both(sender: httpx.Client, receiver: httpx.Client) -> dict[str, httpx.Client]:
    """The parties of a booking."""
    return {SENDER: sender, RECEIVER: receiver}


@pytest.mark.parametrize(
    "change",
    ["active = false", "status = 'busy-unavailable'", "starts_at = starts_at + interval '1 hour'"],
    ids=["withdrawn", "unavailable", "moved"],
)
def test_a_withdrawn_slot_alarms_the_team_and_tells_whoever_booked(
    services: Services,
    both: dict[str, httpx.Client],
    service: str,
    referral: tuple[str, str],
    change: str,
) -> None:
    number, referral_id = referral
    with_referral, alone = based_on(booking(services, number, service), referral_id), booking(services, number, service)
    made = {
        code: one(answered(send(both[SENDER], said)), "Appointment")["id"]
        for code, said in (("referral-slot-withdrawn", with_referral), ("appointment-slot-withdrawn", alone))
    }

    for said in (with_referral, alone):
        statement = f"update referral.directory_slot set {change} where shared_id = %s"  # noqa: S608 - the test's own
        execute(services, statement, one(said, "Slot")["id"])

    for code, appointment in made.items():
        for client in both.values():
            (shown,) = [
                each
                for each in eventually(client, code, appointment)["appointments"]
                if each["appointment"] == appointment
            ]
            assert (shown["status"], shown["slotWithdrawn"]) == ("booked", True)
    assert (
        len(
            [
                each
                for each in notices(both[SENDER], "appointment-slot-withdrawn")
                if made["appointment-slot-withdrawn"] in str(each)
            ]
        )
        == 1
    )
