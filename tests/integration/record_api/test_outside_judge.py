"""HAPI's FHIR validator, which is independent of this code, finds no error in any kind of answer."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.bars import DAY, answered, message, new_service, new_slot, one, send
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import SENT
from tests.referrals import REASON, act, new_team, read, refer, service_request, task_of
from tests.stack import Services

from onestory.shared.identity import NHS_NUMBER_SYSTEM
from onestory.shared.kafka.schemas import schemas_folder

VALIDATOR = Path(__file__).parents[4] / "shared" / "tools" / "fhirv" / "fhirv"
DEFINITIONS = sorted(
    [*(schemas_folder() / "fhir").glob("*Definition-*.json"), *(schemas_folder() / "fhir").glob("CodeSystem-*.json")]
)
ANSWERS = (
    "metadata",
    "everything",
    "everything-page",
    "search",
    "search-nothing",
    "search-patient",
    "search-lenient",
    "shared-patient",
    "read",
    "history",
    "history-of-patient",
    "provenance",
    "provenance-search",
    "transaction-response",
    "batch-response",
    "collection-taken",
    "refused-not-fhir",
    "refused-several",
    "not-found",
    "unknown-parameter",
    "unauthenticated",
    "referred",
    "referral-accepted",
    "referral-on-hold",
    "referral-passed-on",
    "referral-withdrawn-from",
    "referral-rejected",
    "referral-cancelled",
    "referral-stale",
    "referral-not-possible",
    "referral-lacks-a-reason",
    "bars-metadata",
    "bars-definitions",
    "bars-requests",
    "bars-bookings",
    "bars-slots",
    "bars-duplicate",
    "bars-malformed",
)

pytestmark = [
    pytest.mark.skipif(
        not VALIDATOR.exists(), reason="the FHIR validator (../shared/tools/fhirv beside the repository) is not here"
    ),
    pytest.mark.skipif(
        not (shutil.which("java") and shutil.which("mvn")), reason="the FHIR validator needs a JDK and Maven"
    ),
]


@pytest.fixture(scope="module")
def judged(services: Services, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The validator's errors by the name of the answer. One run validates all answers."""
    folder = tmp_path_factory.mktemp("answers")
    with services.client("A81001", network="harbour") as practice, services.client("RX001") as hospital:
        answers = [*_answers(practice, hospital), *_of_a_referral(services, practice, hospital)]
        for name, answer in [*answers, *_of_bars(services, practice)]:
            (folder / f"{name}.json").write_bytes(answer.content)
    for definition in DEFINITIONS:
        shutil.copy(definition, folder)
    judge = subprocess.run([VALIDATOR, folder], capture_output=True, text=True, timeout=240)
    verdicts = [json.loads(line) for line in judge.stdout.splitlines()]
    if not verdicts:
        pytest.skip(f"the FHIR validator did not start: {judge.stderr[-300:]}")
    return {Path(verdict["file"]).stem: _errors(verdict) for verdict in verdicts}


def _errors(verdict: dict[str, Any]) -> list[Any]:
    if verdict["valid"]:
        return []
    return [issue for issue in verdict["issues"] if issue["severity"] != "warning"] or [verdict]


def _answers(practice: httpx.Client, hospital: httpx.Client) -> Iterator[tuple[str, httpx.Response]]:
    """Every kind of answer, about a person with statements from two organisations."""
    number = new_nhs_number()
    registered = patient(number, f"{number}-p", gender="female", deceasedBoolean=False)
    said = [_problem(number, place) for place in range(3)]
    yield "transaction-response", _publish(practice, transaction(registered, *said), SENT)
    yield "batch-response", _publish(hospital, {**transaction(_problem(number, 3)), "type": "batch"}, SENT)
    yield "collection-taken", _publish(practice, _collection(_problem(number, 4)), SENT)
    _publish(practice, transaction(_problem(number, 0, "Corrected")), SENT)
    found = practice.get(f"/fhir/Condition?patient={number}")
    yield "search", found
    own = next(entry["fullUrl"] for entry in found.json()["entry"] if "Corrected" in str(entry))
    yield "read", practice.get(own)
    practice.delete(f"/fhir/Condition/{number}-0", params={"patient": number}, headers=SENT).raise_for_status()
    yield "history", practice.get(f"{own}/_history")
    told = practice.get(f"/fhir/Provenance?target={own.partition('/fhir/')[2]}")
    yield "provenance-search", told
    yield "provenance", practice.get(told.json()["entry"][0]["fullUrl"])
    disagreeing = patient(number, f"{number}-h", gender="male", birthDate="1941-03", deceasedDateTime="2026-09-30")
    _publish(hospital, transaction(disagreeing), SENT)
    yield "shared-patient", practice.get(f"/fhir/Patient/{number}")
    yield "history-of-patient", practice.get(f"/fhir/Patient/{number}/_history")
    yield "everything", practice.get(f"/fhir/Patient/{number}/$everything")
    yield "everything-page", practice.get(f"/fhir/Patient/{number}/$everything?_count=2&_type=Condition,Patient")
    yield "search-nothing", practice.get(f"/fhir/Goal?patient={number}")
    yield "search-patient", practice.get(f"/fhir/Patient?identifier={number}")
    lenient = {"Prefer": "handling=lenient"}
    yield "search-lenient", practice.get(f"/fhir/Condition?patient={number}&colour=red&size=9", headers=lenient)
    yield "metadata", practice.get("/fhir/metadata")
    yield "refused-not-fhir", practice.post("/fhir", content=b"{", headers=SENT)
    broken = {**_problem(number, 5), "clinicalStatus": "active", "recordedDate": "yesterday"}
    yield "refused-several", practice.post("/fhir", json=transaction(broken), headers=SENT)
    yield "not-found", practice.get(f"/fhir/Patient/{new_nhs_number()}")
    yield "unknown-parameter", practice.get(f"/fhir/Condition?patient={number}&colour=red")
    yield "unauthenticated", practice.get("/fhir/Patient/1", headers={"Authorization": ""})


def _of_a_referral(
    services: Services, practice: httpx.Client, hospital: httpx.Client
) -> Iterator[tuple[str, httpx.Response]]:
    """The answers in the life of a referral that is passed on."""
    team, other = new_team(services, "RX001"), new_team(services, "RX001")
    sent = refer(practice, service_request(new_nhs_number(), team))
    yield "referred", sent
    task_id, tag = task_of(sent), sent.headers["ETag"]
    yield "referral-not-possible", act(hospital, task_id, "complete", tag)
    yield "referral-lacks-a-reason", act(hospital, task_id, "reject", tag)
    accepted = act(hospital, task_id, "accept", tag)
    yield "referral-accepted", accepted
    yield "referral-stale", act(hospital, task_id, "start", tag)
    started = act(hospital, task_id, "start", accepted.headers["ETag"])
    until = {"name": "until", "valueInstant": (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")}
    held = act(hospital, task_id, "hold", started.headers["ETag"], REASON, until)
    yield "referral-on-hold", held
    to = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{other}"}}
    passed_on = act(hospital, task_id, "redirect", held.headers["ETag"], REASON, to)
    yield "referral-passed-on", passed_on
    yield "referral-withdrawn-from", read(hospital, task_id)
    rejected = act(hospital, passed_on.json()["id"], "reject", passed_on.headers["ETag"], REASON)
    yield "referral-rejected", rejected
    yield "referral-cancelled", act(practice, rejected.json()["id"], "cancel", rejected.headers["ETag"], REASON)


def _of_bars(services: Services, practice: httpx.Client) -> Iterator[tuple[str, httpx.Response]]:
    """The answers at the BaRS addresses, except those that return a sender's own text."""
    service, whom = new_service(services), new_nhs_number()
    times = {"start": f"{DAY}T09:00:00Z", "end": f"{DAY}T09:10:00Z"}
    slot, said = new_slot(services, service, *times.values()), message("REFREQ03", whom, service)
    one(said, "MessageHeader").pop("sender")
    booking = message("BOOKREQ01", whom, service)
    one(booking, "Slot")["id"] = slot
    one(booking, "Appointment").update(times)
    answered(send(practice, said))
    answered(send(practice, booking))
    yield "bars-duplicate", send(practice, said)
    yield "bars-malformed", send(practice, {**said, "type": "collection"})
    yield "bars-metadata", practice.get("/metadata")
    yield "bars-definitions", practice.get(f"/MessageDefinition?context={service}")
    yield "bars-slots", practice.get(f"/Slot?Schedule.actor:HealthcareService={service}")
    for name, kind in (("bars-requests", "ServiceRequest"), ("bars-bookings", "Appointment")):
        yield name, practice.get(f"/{kind}?patient:identifier={NHS_NUMBER_SYSTEM}|{whom}")


def _problem(number: str, place: int, text: str = "Heart failure") -> dict[str, Any]:
    status = {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}
    return condition(number, f"{number}-{place}", text, clinicalStatus={"coding": [status]})


def _collection(resource: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource}]}


def _publish(client: httpx.Client, bundle: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    answer = client.post("/fhir", json=bundle, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    return answer


@pytest.mark.parametrize("name", [*ANSWERS, *[path.stem for path in DEFINITIONS]])
def test_a_validator_that_is_not_ours_finds_no_error(judged: dict[str, list[dict[str, Any]]], name: str) -> None:
    assert judged[name] == []
