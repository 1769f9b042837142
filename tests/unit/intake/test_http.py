"""Intake over HTTP: the messages that go to Kafka, and the answers to the publisher."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs
from tests.people import condition, patient, transaction
from tests.unit.intake.door import (
    AMINA,
    BEN,
    DOOR,
    KEYS,
    SOURCE,
    bundle,
    full_url,
    observation,
    organization,
    person,
    posted,
    shared_id,
    unnumbered,
)
from tests.unit.intake.fakes import FakeBroker, FakePolicy, FakeRecord, FakeVisibility, fake_handler

from onestory.intake.api import IntakeApi, routes
from onestory.intake.condition_store import VisibleVersion
from onestory.intake.domain.request import KnownResource
from onestory.shared.events import RecordChanged, Source
from onestory.shared.http.app import create_app
from onestory.shared.http.caller import TokenVerifier
from onestory.shared.http.internal import InternalRequests
from onestory.shared.kafka.codec import create_codec
from onestory.shared.policy import Caller
from onestory.shared.worker_processes import WorkerLimits, WorkerProcesses

CALLER = Caller("A81001", "emis-web", "user-1", "R8000", "north", "TREAT")
FHIR = {"Content-Type": "application/fhir+json"}


class AnyToken(TokenVerifier):
    """A fake token verifier: every token is from the same practice."""

    def __init__(self) -> None:
        pass

    async def caller(self, authorization: str | None) -> Caller:
        return CALLER


@contextlib.asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


class HttpDoor:
    """The routes of intake with fakes for Kafka and PostgreSQL."""

    def __init__(self, limits: WorkerLimits = WorkerLimits()) -> None:  # noqa: B008
        self.broker, self.record, self.visible = FakeBroker(), FakeRecord(), FakeVisibility()
        self.policy, self.workers = FakePolicy(), WorkerProcesses(limits)
        handler = fake_handler(self.broker, self.record, self.visible, self.policy, self.workers)
        api = IntakeApi(handler, DOOR, 1_000_000, InternalRequests())
        self._app = create_app(routes(api), [], AnyToken(), {}, nothing)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        sent = {**FHIR, **{name.replace("_", "-"): value for name, value in headers.items()}}

        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with self.workers.running(), httpx.AsyncClient(transport=transport, base_url="http://door") as http:
                return await http.request(method, path, content=content, headers=sent)

        return asyncio.run(call())

    def events(self) -> list[Any]:
        return [create_codec().decode(message.value or b"") for message in self.broker.sent]


@pytest.fixture
def door() -> HttpDoor:
    return HttpDoor()


def issues(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.json()["resourceType"] == "OperationOutcome"
    listed: list[dict[str, Any]] = answer.json()["issue"]
    return listed


def test_an_update_is_answered_as_fhir_says_once_kafka_has_it(door: HttpDoor) -> None:
    answer = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"))

    (event,) = door.events()
    own = shared_id(AMINA, "Condition", "c1")
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"http://door/fhir/Condition/{own}/_history/{event.event_id}"
    assert answer.headers["ETag"] == f'W/"{event.event_id}"'
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert answer.headers["X-OneStory-Event-Id"] == str(event.event_id)
    assert answer.headers["X-OneStory-Position"] == "r0-0"
    assert answer.headers["X-Correlation-Id"] == event.correlation_id
    assert answer.json()["id"] == own


def test_an_update_is_answered_with_200_if_readers_saw_another_version(door: HttpDoor) -> None:
    own = shared_id(AMINA, "Condition", "c1")
    key = {"Idempotency_Key": "k1"}
    first = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), **key)
    of_this_event = UUID(first.headers["X-OneStory-Event-Id"])

    def status(version: VisibleVersion) -> int:
        door.record.visible[own] = version
        return door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), **key).status_code

    assert first.status_code == 201
    assert status(VisibleVersion(UUID(int=1), has_others=False)) == 200
    # The version of this event is visible already: it is a repetition of the first PUT, or of a later one.
    assert status(VisibleVersion(of_this_event, has_others=False)) == 201
    assert status(VisibleVersion(of_this_event, has_others=True)) == 200


def test_an_update_is_taken_without_the_record_and_answered_with_200(door: HttpDoor) -> None:
    door.record.away = True
    door.visible.becomes = "away"

    answer = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Idempotency_Key="k1")

    assert answer.status_code == 200
    assert len(door.events()) == 1


def test_a_create_is_answered_with_201(door: HttpDoor) -> None:
    answer = door.send("POST", "/fhir/Condition", condition(AMINA, "c1"))

    assert answer.status_code == 201
    assert answer.headers["Location"].startswith("http://door/fhir/Condition/")


def test_a_retraction_is_answered_with_204(door: HttpDoor) -> None:
    answer = door.send("DELETE", f"/fhir/Condition/c1?patient={AMINA}")

    assert answer.status_code == 204
    assert door.events()[0].entries[0].content is None


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_a_transaction_is_answered_with_its_response(door: HttpDoor, kind: str) -> None:
    both = transaction(patient(AMINA, "p1"))
    both["entry"] += posted("x", condition(AMINA, "c1"))["entry"]
    both["entry"].append({"request": {"method": "DELETE", "url": f"Condition/c2?patient={AMINA}"}})

    answer = door.send("POST", "/fhir", {**both, "type": kind})

    body = answer.json()
    responses = [entry["response"] for entry in body["entry"]]
    assert answer.status_code == 200
    assert body["type"] == f"{kind}-response"
    assert [response["status"] for response in responses] == ["201 Created", "201 Created", "204 No Content"]
    assert all({"location", "etag", "lastModified"} <= set(response) for response in responses)


def test_a_refused_entry_of_a_batch_says_why_beside_the_others(door: HttpDoor) -> None:
    answer = door.send("POST", "/fhir", posted("batch", condition(AMINA, "c1", recordedDate="x"), condition(BEN, "c2")))

    refused, taken = [entry["response"] for entry in answer.json()["entry"]]
    assert answer.status_code == 200
    assert refused["status"] == "422 Unprocessable Content"
    assert refused["outcome"]["issue"][0]["expression"] == ["Bundle.entry[0].resource.recordedDate"]
    assert taken["status"] == "201 Created"
    assert [event.person.value for event in door.events()] == [BEN]


def test_a_batch_of_which_nothing_is_taken_has_no_event(door: HttpDoor) -> None:
    answer = door.send("POST", "/fhir", posted("batch", observation(None)))

    assert answer.status_code == 200
    assert "X-OneStory-Event-Id" not in answer.headers
    assert not door.broker.sent


def test_a_collection_is_answered_with_the_ids_that_its_entries_have_here(door: HttpDoor) -> None:
    sent = bundle("collection", patient(AMINA, "p1"), condition(AMINA, "c1"))

    answer, outcome = (
        door.send("POST", "/fhir", sent, **prefer) for prefer in ({}, {"Prefer": "return=OperationOutcome"})
    )

    assert (answer.status_code, outcome.status_code) == (202, 202)
    assert answer.json()["type"] == "transaction-response"
    assert [entry["response"]["location"].split("/")[-4:-2] for entry in answer.json()["entry"]] == [
        ["Patient", shared_id(AMINA, "Patient", "p1")],
        ["Condition", shared_id(AMINA, "Condition", "c1")],
    ]
    assert issues(outcome)[0]["severity"] == "information"


def test_a_preference_for_what_comes_back_is_honoured(door: HttpDoor) -> None:
    representation = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Prefer="return=representation")
    outcome = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Prefer="return=OperationOutcome")
    minimal = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Prefer="return=minimal")
    whole = door.send("POST", "/fhir", transaction(condition(AMINA, "c1")), Prefer="return=representation")
    told = door.send("POST", "/fhir", transaction(condition(AMINA, "c1")), Prefer="return=OperationOutcome")

    assert representation.json()["id"] == shared_id(AMINA, "Condition", "c1")
    assert representation.json()["meta"]["versionId"] == representation.headers["X-OneStory-Event-Id"]
    assert issues(outcome)
    assert minimal.content == b""
    assert whole.json()["entry"][0]["resource"]["resourceType"] == "Condition"
    assert told.json()["entry"][0]["response"]["outcome"]["resourceType"] == "OperationOutcome"


def test_a_publisher_can_wait_until_it_is_visible(door: HttpDoor) -> None:
    answer = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Prefer="return=minimal; wait=999")

    assert door.visible.waited_s == [60]
    assert answer.headers["Preference-Applied"] == "wait=60"


def test_whoever_states_no_preference_gets_the_resource_back_and_can_read_it(door: HttpDoor) -> None:
    one = door.send("POST", "/fhir/Condition", condition(AMINA, "c1"))
    several = door.send("POST", "/fhir", transaction(condition(AMINA, "c1")))

    assert door.visible.waited_s == [2]
    assert one.json()["id"] == shared_id(AMINA, "Condition", "c1")
    assert "Preference-Applied" not in one.headers
    assert "resource" not in several.json()["entry"][0]


def test_whoever_did_not_ask_to_wait_is_not_refused_while_the_record_is_away(door: HttpDoor) -> None:
    door.visible.becomes = "away"

    for prefer in ({}, {"Prefer": "return=representation"}):
        assert door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), **prefer).status_code == 201
    assert door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Prefer="wait=1").status_code == 503


def test_a_publisher_who_waited_in_vain_gets_the_ordinary_answer(door: HttpDoor) -> None:
    door.visible.becomes = "late"

    answer = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Prefer="wait=1")

    assert answer.status_code == 201
    assert "Preference-Applied" not in answer.headers


def test_a_publisher_who_waits_is_told_that_it_was_parked(door: HttpDoor) -> None:
    door.visible.becomes = "parked"

    answer = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Prefer="wait=1")

    assert answer.status_code == 422
    assert answer.headers["X-OneStory-Event-Id"] == str(door.events()[0].event_id)


def test_while_kafka_is_away_the_outcome_is_unknown_and_the_event_ids_are_told(door: HttpDoor) -> None:
    door.broker.away = True

    answer = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Idempotency_Key="k1")

    door.broker.away = False
    again = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Idempotency_Key="k1")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert issues(answer)[0]["code"] == "transient"
    assert again.headers["X-OneStory-Event-Id"] == answer.headers["X-OneStory-Event-Id"]


def test_a_key_that_was_used_with_other_content_is_refused(door: HttpDoor) -> None:
    first = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Idempotency_Key="k1")
    repeated = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Idempotency_Key="k1")
    mixed_up = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1", "Gout"), Idempotency_Key="k1")
    elsewhere = door.send(
        "PUT", "/fhir/Condition/c1", condition(AMINA, "c1", "Gout"), Idempotency_Key="k1", X_Source_System="other"
    )

    assert repeated.headers["X-OneStory-Event-Id"] == first.headers["X-OneStory-Event-Id"]
    assert mixed_up.status_code == 422
    assert elsewhere.status_code == 201


@pytest.mark.parametrize("key", ["", " ", "x" * 256])
def test_a_key_that_is_none_is_refused(door: HttpDoor, key: str) -> None:
    assert door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Idempotency_Key=key).status_code == 400


def test_a_message_carries_what_a_consumer_needs_without_opening_it(door: HttpDoor) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    door.send("POST", "/fhir", transaction(patient(AMINA, "p1")), traceparent=trace)

    (message,) = door.broker.sent
    headers = {name: value.decode() for name, value in message.headers}
    key = KEYS.person_key(person(AMINA))
    assert (message.topic, message.key) == ("care.record", key.encode())
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_type"] == "uk.nhs.onestory.record-changed.v1"
    assert headers["ce_source"] == "/organisations/A81001/systems/emis-web"
    assert headers["ce_subject"] == key
    assert headers["content-type"] == "application/avro"
    assert headers["traceparent"] == trace
    assert UUID(headers["ce_id"]) == door.events()[0].event_id
    assert AMINA not in str(message.headers)


def test_a_broken_trace_context_is_replaced(door: HttpDoor) -> None:
    door.send("POST", "/fhir", transaction(patient(AMINA, "p1")), traceparent="00-zz")

    assert dict(door.broker.sent[0].headers)["traceparent"] != b"00-zz"


def test_the_directory_has_its_own_topic(door: HttpDoor) -> None:
    answer = door.send("PUT", "/fhir/Organization/o1", organization("o1"))

    (message,) = door.broker.sent
    assert message.topic == "care.directory"
    assert message.key is not None
    assert message.key.decode() in answer.headers["Location"]


def test_headers_say_who_speaks_and_of_what_all(door: HttpDoor) -> None:
    name = str(UUID(int=7))
    said = {"X_Source_System": "vision", "X_Complete_Types": "Condition, Observation", "X_Correlation_Id": name}

    door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), **said)

    (event,) = door.events()
    assert isinstance(event, RecordChanged)
    assert event.source == Source("A81001", "vision")
    assert event.complete_types == ("Condition", "Observation")
    assert event.correlation_id == name


def test_a_compressed_body_is_read(door: HttpDoor) -> None:
    body = gzip.compress(json.dumps(transaction(patient(AMINA, "p1"))).encode())
    two_members = gzip.compress(b"{") + gzip.compress(json.dumps(transaction(patient(AMINA, "p2"))).encode()[1:])

    assert door.send("POST", "/fhir", body, Content_Encoding="gzip").status_code == 200
    assert door.send("POST", "/fhir", two_members, Content_Encoding="gzip").status_code == 200


def test_a_bomb_is_refused_before_it_goes_off(door: HttpDoor) -> None:
    bomb = gzip.compress(b" " * 50_000_000)

    answer = door.send("POST", "/fhir", bomb, Content_Encoding="gzip")

    assert answer.status_code == 413


def test_a_large_batch_is_answered_with_headers_that_a_client_can_read(door: HttpDoor) -> None:
    many = [organization(f"g{number}") for number in range(300)]

    answer = door.send("POST", "/fhir", json.dumps(posted("batch", *many)).encode())

    assert len(answer.headers["X-OneStory-Event-Id"].split(", ")) == 100
    assert len({entry["response"]["etag"] for entry in answer.json()["entry"]}) == 300
    assert sum(len(name) + len(value) for name, value in answer.headers.items()) < 5_000


def test_a_compressed_body_that_holds_nothing_ends_at_the_limit_too(door: HttpDoor) -> None:
    nothing = gzip.compress(b"") * 60_000

    answer = door.send("POST", "/fhir", nothing, Content_Encoding="gzip")

    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content_Type": "text/plain"}, b"{}", 415),
        ({"Content_Type": "application/fhir+xml"}, b"<Bundle/>", 415),
        ({"Content_Type": "application/fhir+json; charset=utf-16"}, b"{}", 415),
        ({"Content_Type": "application/fhir+json; fhirVersion=3.0"}, b"{}", 415),
        ({"Content_Encoding": "br"}, b"{}", 415),
        ({"Content_Encoding": "gzip"}, b"not gzip", 400),
        ({"Content_Encoding": "gzip"}, gzip.compress(b"{}", mtime=0)[:-6], 400),
        ({}, b"{", 400),
        ({}, b"", 400),
        ({}, b"x" * 1_000_001, 413),
        ({"Idempotency_Key": "\x7f"}, b"{}", 400),
        ({"If_Match": 'W/"1"'}, b"{}", 400),
        ({"If_None_Match": "*"}, b"{}", 400),
        ({"If_None_Exist": "identifier=urn:s|1"}, b"{}", 400),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_status(
    door: HttpDoor, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = door.send("POST", "/fhir", body, **headers)

    assert answer.status_code == status
    assert issues(answer)[0]["diagnostics"]
    assert not door.broker.sent


def test_conditional_forms_that_cannot_be_kept_say_why(door: HttpDoor) -> None:
    assert door.send("DELETE", "/fhir/Condition?code=1").status_code == 400
    assert door.send("PUT", "/fhir/Condition?code=1", condition(AMINA, "c1")).status_code == 400
    assert door.send("POST", "/fhir/Condition", condition(AMINA, "c1"), If_None_Exist="code=1").status_code == 400


def test_how_the_answer_shall_be_written_is_no_condition(door: HttpDoor) -> None:
    assert door.send("PUT", "/fhir/Condition/c1?_format=json&_pretty=true", condition(AMINA, "c1")).status_code == 201


def _found(local_id: str) -> dict[str, Any]:
    """The row of a resource of the practice that readers see."""
    content = {**condition(AMINA, shared_id(AMINA, "Condition", local_id)), "meta": {"versionId": str(UUID(int=1))}}
    content["identifier"] = [{"system": "urn:s", "value": "1"}]
    return {
        "entry": 0,
        "resource_type": "Condition",
        "local_id": local_id,
        "shared_id": content["id"],
        "event_id": UUID(int=1),
        "content": json.dumps(content).encode(),
        "broker_time": datetime(2026, 11, 22, 10, tzinfo=UTC),
        "person_system": person(AMINA).system,
        "person_value": AMINA,
        "is_same_person": True,
    }


def test_a_conditional_create_of_a_resource_that_exists_is_answered_with_it(door: HttpDoor) -> None:
    door.record.found = [_found("c1")]

    answer = door.send("POST", "/fhir/Condition", condition(AMINA, "tmp"), If_None_Exist="identifier=urn:s|1")
    brief = door.send(
        "POST",
        "/fhir/Condition",
        condition(AMINA, "tmp"),
        If_None_Exist="identifier=urn:s|1",
        Prefer="return=minimal",
    )

    own = shared_id(AMINA, "Condition", "c1")
    assert (answer.status_code, brief.status_code) == (200, 200)
    assert answer.headers["Location"] == f"http://door/fhir/Condition/{own}/_history/{UUID(int=1)}"
    assert answer.headers["ETag"] == f'W/"{UUID(int=1)}"'
    assert answer.headers["Last-Modified"] == "Sun, 22 Nov 2026 10:00:00 GMT"
    assert answer.json()["id"] == own
    assert brief.content == b""
    assert not door.broker.sent


def test_a_transaction_of_entries_that_all_exist_is_answered_without_a_publish(door: HttpDoor) -> None:
    door.record.found = [_found("c1")]
    created = posted("transaction", condition(AMINA, "tmp"))
    created["entry"][0]["request"]["ifNoneExist"] = "Condition?identifier=urn:s|1"

    answer = door.send("POST", "/fhir", created, Prefer="return=representation")

    (entry,) = answer.json()["entry"]
    assert entry["response"]["status"] == "200 OK"
    assert entry["resource"]["id"] == shared_id(AMINA, "Condition", "c1")
    assert not door.broker.sent


def test_several_resources_with_the_identifier_are_answered_with_412(door: HttpDoor) -> None:
    door.record.found = [_found("c1"), _found("c2")]

    answer = door.send("POST", "/fhir/Condition", condition(AMINA, "tmp"), If_None_Exist="identifier=urn:s|1")

    assert answer.status_code == 412
    assert not door.broker.sent


def test_a_condition_is_never_taken_for_met_while_the_record_is_away(door: HttpDoor) -> None:
    door.record.away = True

    created = door.send("POST", "/fhir/Condition", condition(AMINA, "c"), If_None_Exist="identifier=urn:s|1")
    updated = door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), If_Match=f'W/"{UUID(int=1)}"')

    assert (created.status_code, updated.status_code) == (503, 503)
    assert not door.broker.sent


def test_a_create_reserves_its_identifier_until_readers_see_it(door: HttpDoor) -> None:
    created = {"If_None_Exist": "identifier=urn:s|1"}
    door.send("POST", "/fhir/Condition", condition(AMINA, "c"), **created, Idempotency_Key="k1")
    assert list(door.record.reservations.values()) == ["r0-0"]

    # A reservation of a request that sends nothing is given back.
    door.record.reservations = {}
    refused = door.send("POST", "/fhir/Condition", condition(AMINA, "c", "Gout"), **created, Idempotency_Key="k1")
    assert (refused.status_code, door.record.reservations) == (422, {})

    # After an unknown outcome the reservation stays: Kafka may have the message.
    door.broker.away = True
    unknown = door.send("POST", "/fhir/Condition", condition(AMINA, "c"), **created)
    assert (unknown.status_code, list(door.record.reservations.values())) == (503, [None])


def test_a_create_that_others_reserve_for_too_long_is_answered_with_503(
    door: HttpDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onestory.intake.conditions._WAIT_S", 0.05)
    door.record.others_create = True

    answer = door.send("POST", "/fhir/Condition", condition(AMINA, "c"), If_None_Exist="identifier=urn:s|1")

    assert answer.status_code == 503
    assert "Repeat" in issues(answer)[0]["diagnostics"]
    assert not door.broker.sent


def test_a_create_whose_reservation_ended_and_was_taken_over_publishes_nothing(door: HttpDoor) -> None:
    door.record.taken_over = True

    answer = door.send("POST", "/fhir/Condition", condition(AMINA, "c"), If_None_Exist="identifier=urn:s|1")

    assert answer.status_code == 503
    assert "Repeat" in issues(answer)[0]["diagnostics"]
    assert not door.broker.sent


def test_if_match_is_compared_with_the_current_version(door: HttpDoor) -> None:
    door.record.visible[shared_id(AMINA, "Condition", "c1")] = VisibleVersion(UUID(int=1), has_others=False)
    current, stale = f'W/"{UUID(int=1)}"', f'W/"{UUID(int=2)}"'
    c1 = condition(AMINA, "c1")

    refused = door.send("PUT", "/fhir/Condition/c1", c1, If_Match=stale)
    gone = door.send("PUT", "/fhir/Condition/c2", condition(AMINA, "c2"), If_Match=current)
    exists = door.send("PUT", "/fhir/Condition/c1", c1, If_None_Match="*")
    kept = door.send("DELETE", f"/fhir/Condition/c1?patient={AMINA}", If_Match=stale)
    assert [each.status_code for each in (refused, gone, exists, kept)] == [412, 412, 412, 412]
    assert [each.headers.get("ETag") for each in (refused, gone, exists, kept)] == [current, None, current, current]
    assert not door.broker.sent

    updated = door.send("PUT", "/fhir/Condition/c1", c1, If_Match=current)
    created = door.send("PUT", "/fhir/Condition/c2", condition(AMINA, "c2"), If_None_Match="*")
    retracted = door.send("DELETE", f"/fhir/Condition/c1?patient={AMINA}", If_Match=current)
    assert [each.status_code for each in (updated, created, retracted)] == [200, 201, 204]


def test_a_transaction_with_a_stale_version_is_refused_and_a_batch_without_that_person_is_taken(door: HttpDoor) -> None:
    door.record.visible[shared_id(AMINA, "Condition", "c1")] = VisibleVersion(UUID(int=1), has_others=False)
    both = transaction(condition(AMINA, "c1"), condition(BEN, "c2"))
    both["entry"][0]["request"]["ifMatch"] = f'W/"{UUID(int=2)}"'

    one = door.send("POST", "/fhir", {**both, "entry": both["entry"][:1]})
    batch = door.send("POST", "/fhir", {**both, "type": "batch"})

    refused, taken = (entry["response"] for entry in batch.json()["entry"])
    assert one.status_code == 412
    assert issues(one)[0]["expression"] == ["Bundle.entry[0].request.ifMatch"]
    assert (refused["status"], refused["etag"]) == ("412 Precondition Failed", f'W/"{UUID(int=1)}"')
    assert taken["status"] == "201 Created"
    assert [event.person.value for event in door.events()] == [BEN]


def test_a_representation_comes_when_readers_see_the_resource(door: HttpDoor) -> None:
    for prefer in ("return=representation", "return=representation; wait=7", "return=minimal", "handling=lenient"):
        door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Prefer=prefer)

    assert door.visible.waited_s == [2, 7]


def test_identity_by_identifier_works_over_http(door: HttpDoor) -> None:
    door.send("PUT", "/fhir/Condition?identifier=urn:s|1", condition(AMINA, "c1"))
    without_id = {name: value for name, value in condition(AMINA, "c1").items() if name != "id"}
    door.send("POST", "/fhir/Condition", without_id, If_None_Exist="identifier=urn:s|1")

    assert [event.entries[0].local_id for event in door.events()] == ["urn:s|1", "urn:s|1"]


def test_the_record_is_asked_only_about_ids_in_our_own_form(door: HttpDoor) -> None:
    own = shared_id(AMINA, "Condition", "c1")
    door.record.known[own] = KnownResource(person(AMINA), SOURCE, "Condition", "c1")
    door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1"), Prefer="return=minimal")
    assert door.record.asked == 0

    answer = door.send("PUT", f"/fhir/Condition/{own}", condition(AMINA, own))

    assert answer.is_success
    assert door.events()[1].entries[0].local_id == "c1"


def test_an_own_id_cannot_be_judged_while_the_record_is_away(door: HttpDoor) -> None:
    own = shared_id(AMINA, "Condition", "c1")
    door.record.away = True

    assert door.send("PUT", f"/fhir/Condition/{own}", condition(AMINA, own)).status_code == 503


def test_a_large_body_is_prepared_and_published_whole(door: HttpDoor) -> None:
    many = [observation({"reference": full_url(0)}, f"o{index}", valueString="x" * 200) for index in range(1500)]

    answer = door.send("POST", "/fhir", posted("transaction", unnumbered("p1"), *many))

    assert answer.status_code == 200
    assert len(door.events()[0].entries) == 1501


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (WorkerLimits(memory_mb=30), "Nothing was published. Split the submission."),
        (WorkerLimits(processes=0, waiting=0), "Too many large bodies are waiting. Nothing was published."),
    ],
)
def test_a_large_body_beyond_a_limit_is_refused_and_nothing_is_published(limits: WorkerLimits, text: str) -> None:
    door = HttpDoor(limits)
    large = {**observation({"reference": f"Patient/{AMINA}"}, "o"), "valueString": "x" * 70_000}

    answer = door.send("POST", "/fhir/Observation", large)

    assert answer.status_code == (503 if limits.processes == 0 else 413)
    assert text in issues(answer)[0]["diagnostics"]
    assert not door.broker.sent


def test_a_bundle_with_too_many_entries_is_refused(door: HttpDoor) -> None:
    many = [{"resource": organization(f"o{index}")} for index in range(10_001)]

    answer = door.send(
        "POST", "/fhir", json.dumps({"resourceType": "Bundle", "type": "collection", "entry": many}).encode()
    )

    assert answer.status_code == 413
    assert issues(answer)[0]["diagnostics"] == "The Bundle has more than 10000 entries. Split the submission."
    assert issues(answer)[0]["expression"] == ["Bundle.entry"]


def test_a_large_refusal_says_the_same_as_a_small_one(door: HttpDoor) -> None:
    wrong = {"resourceType": "Observation", "status": "wrong", "code": {"text": "x"}}

    small = door.send("POST", "/fhir/Observation", wrong)
    large = door.send("POST", "/fhir/Observation", {**wrong, "note": [{"text": "x" * 70_000}]})

    assert small.status_code == large.status_code == 422
    assert issues(small) == issues(large)


def test_no_log_line_says_what_was_published(door: HttpDoor) -> None:
    with capture_logs() as lines:
        door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1", "Zebedee"))
        door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1", "Zebedee", recordedDate="Zebedee"))
        door.broker.away = True
        door.send("PUT", "/fhir/Condition/c1", condition(AMINA, "c1", "Zebedee"))

    assert {line["event"] for line in lines} >= {"published", "publish_outcome_unknown"}
    assert "Zebedee" not in str(lines)
    assert AMINA not in str(lines)
