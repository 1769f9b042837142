"""Promise 7: no access without a trace. Each read sends an event to `care.access` before its answer is sent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from kafka import KafkaConsumer, TopicPartition
from tests.bars import answered, message, new_service, one, send
from tests.contract.shared_data import needs_shared_data
from tests.people import condition, new_nhs_number, patient, said_at
from tests.referral_events import Made, keys_of, tell
from tests.referrals import REASON, act, advice_request, new_team, refer, say, service_request, task_of
from tests.stack import Services
from uuid_utils.compat import uuid7

from onestory.shared.events import AccessRecorded
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier, parse_shared_id
from onestory.shared.kafka.codec import Codec, create_codec
from onestory.shared.kafka.schemas import ACCESS_TOPIC, topics

SENT = {"Content-Type": "application/fhir+json", "Prefer": "wait=30"}
READS = {
    "read": "/fhir/Condition/{problem}",
    "read of the shared Patient": "/fhir/Patient/{number}",
    "vread": "/fhir/Condition/{problem}/_history/{version}",
    "history": "/fhir/Condition/{problem}/_history",
    "search": "/fhir/Condition?patient={number}",
    "search by subject and code": "/fhir/Condition?subject=Patient/{number}&code=84114007&_sort=_id&_count=1",
    "Patient by identifier": f"/fhir/Patient?identifier={NHS_NUMBER_SYSTEM}|{{number}}",
    "everything": "/fhir/Patient/{number}/$everything",
    "everything of some types": "/fhir/Patient/{number}/$everything?_type=Condition,Patient",
    "everything of an identifier": f"/fhir/Patient/$everything?identifier={NHS_NUMBER_SYSTEM}|{{number}}",
    "search in the compartment": "/fhir/Patient/{number}/Condition",
    "search by identifier of the person": f"/fhir/Condition?patient.identifier={NHS_NUMBER_SYSTEM}|{{number}}",
    "part of a resource": "/fhir/Condition/{problem}?_elements=code",
    "everything as it was": "/fhir/Patient/{number}/$everything?asOf=2026-01-01T00:00:00Z",
    "history of a type": "/fhir/Condition/_history?patient={number}",
    "history of a person": "/fhir/_history?patient={number}",
    "history of the shared Patient": "/fhir/Patient/{number}/_history",
    "summary": "/fhir/Patient/{number}/$summary",
    "summary as a page": "/fhir/Patient/{number}/$summary?_format=html",
    "summary as it was": "/fhir/Patient/{number}/$summary?asOf=2026-01-01T00:00:00Z",
    "copy for the person": "/fhir/Patient/{number}/$summary?copy=person",
    "copy for the person as a page": "/fhir/Patient/{number}/$summary?copy=person&_format=html",
    "merged record": "/fhir/Patient/{number}/$merged",
    "merged record as it was": "/fhir/Patient/{number}/$merged?asOf=2026-01-01T00:00:00Z",
    "what changed of it": "/fhir/Patient/{number}/$merged?_since=2026-01-01",
    "story of a referral": "/fhir/ServiceRequest/{referral}/$story",
    "story of a task's referral": "/fhir/Task/{task}/$story",
    "freshness": "/fhir/Patient/{number}/$freshness",
    "provenance of a resource": "/fhir/Provenance?target=Condition/{problem}",
    "what comes along": "/fhir/Condition?patient={number}&_revinclude=Provenance:target",
}
TRACED = {
    "read": ("read", ("Condition",)),
    "read of the shared Patient": ("read", ("Patient",)),
    "vread": ("vread", ("Condition",)),
    "history": ("history-instance", ("Condition",)),
    "search": ("search-type", ("Condition",)),
    "search by subject and code": ("search-type", ("Condition",)),
    "Patient by identifier": ("search-type", ("Patient",)),
    "everything": ("$everything", ()),
    "everything of some types": ("$everything", ("Condition", "Patient")),
    "everything of an identifier": ("$everything", ()),
    "search in the compartment": ("search-type", ("Condition",)),
    "search by identifier of the person": ("search-type", ("Condition",)),
    "part of a resource": ("read", ("Condition",)),
    "everything as it was": ("$everything?asOf", ()),
    "history of a type": ("history-type", ("Condition",)),
    "history of a person": ("history-system", ()),
    "history of the shared Patient": ("history-instance", ("Patient",)),
    "summary": ("$summary", ()),
    "summary as a page": ("$summary", ()),
    "summary as it was": ("$summary?asOf", ()),
    "copy for the person": ("$summary", ()),
    "copy for the person as a page": ("$summary", ()),
    "merged record": ("$merged", ()),
    "merged record as it was": ("$merged?asOf", ()),
    "what changed of it": ("$merged", ()),
    "story of a referral": ("$story", ()),
    "story of a task's referral": ("$story", ()),
    "freshness": ("$freshness", ()),
    "provenance of a resource": ("search-type", ("Provenance",)),
    "what comes along": ("search-type", ("Condition", "Provenance")),
}


@dataclass(frozen=True, slots=True)
class Trace:
    """One message of the audit trail: its key, its raw form and its decoded event."""

    key: bytes
    raw: str
    event: AccessRecorded


class Trail:
    """Reads `care.access` as an auditor does."""

    def __init__(self, consumer: KafkaConsumer, contract: Codec) -> None:
        self._consumer = consumer
        self._codec = contract
        self._places = [TopicPartition(ACCESS_TOPIC, number) for number in range(topics()[ACCESS_TOPIC].partitions)]
        consumer.assign(self._places)
        self._seen: dict[TopicPartition, int] = consumer.end_offsets(self._places)

    def new(self) -> list[Trace]:
        """The messages that Kafka acknowledged since the last call. It does not wait for more."""
        before, self._seen = self._seen, self._consumer.end_offsets(self._places)
        missing = sum(self._seen[place] - before[place] for place in self._places)
        for place in self._places:
            self._consumer.seek(place, before[place])
        found: list[Trace] = []
        while len(found) < missing:
            for messages in self._consumer.poll(timeout_ms=1000).values():
                found += [self._trace(message) for message in messages]
        return found

    def _trace(self, message: Any) -> Trace:
        event = self._codec.decode(message.value)
        assert isinstance(event, AccessRecorded)
        return Trace(message.key, repr((message.key, message.value, message.headers)), event)


@dataclass(frozen=True, slots=True)
class Person:
    """A person with a registered practice, one problem that the practice published, and one referral."""

    number: str
    key: str
    problem: str
    version: str
    made: Made

    def at(self, address: str) -> str:
        """The address with this person's ids filled in."""
        known = {"number": self.number, "problem": self.problem, "version": self.version}
        return address.format(**known, referral=self.made.referral_id, task=self.made.task_id)


@pytest.fixture
def trail(services: Services) -> Iterator[Trail]:
    with closing(KafkaConsumer(bootstrap_servers=services.kafka)) as consumer:
        yield Trail(consumer, create_codec())


@pytest.fixture
def practice(services: Services) -> Iterator[httpx.Client]:
    with services.client("A81001", network="harbour", sub="nurse-7", purpose="HDIRECT") as client:
        yield client


@pytest.fixture
def stranger(services: Services) -> Iterator[httpx.Client]:
    with services.client("B99999", network="elsewhere") as client:
        yield client


@pytest.fixture
def person(services: Services, practice: httpx.Client) -> Person:
    number = new_nhs_number()
    services.register(number)
    publish(practice, patient(number, f"{number}-p"))
    _, kind, problem, _, version = publish(practice, condition(number, f"{number}-c", "Gout")).path.split("/")[1:]
    named = parse_shared_id(problem)
    assert named is not None
    assert kind == "Condition"
    made = Made.of_number(keys_of(services), number)
    tell(services, made.change(uuid7(), 1, "requested", datetime.now(UTC)))
    return Person(number, named.person_key, problem, version, made)


def publish(client: httpx.Client, resource: dict[str, Any]) -> httpx.URL:
    """Publish, wait until it is visible, and return the address of the version."""
    answer = client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource, headers=SENT)
    assert answer.is_success, answer.text
    return httpx.URL(answer.headers["Location"])


@pytest.mark.parametrize("interaction", READS)
def test_a_read_leaves_who_read_what_of_whom_and_why(
    practice: httpx.Client, person: Person, trail: Trail, interaction: str
) -> None:
    correlation_id, began = str(uuid.uuid4()), datetime.now(UTC)

    answer = practice.get(person.at(READS[interaction]), headers={"X-Correlation-Id": correlation_id})
    (trace,) = trail.new()

    assert answer.status_code == 200, answer.text
    event = trace.event
    assert (event.organisation, event.subject, event.role, event.purpose) == ("A81001", "nurse-7", "R8000", "HDIRECT")
    assert (event.interaction, event.resource_types) == TRACED[interaction]
    assert (event.visibility, event.reason) == ("all", "registered-practice-network")
    assert event.person_key == person.key
    assert event.correlation_id == correlation_id
    assert began <= event.occurred_at <= datetime.now(UTC)


@pytest.mark.parametrize("interaction", READS)
def test_a_refused_read_leaves_the_decision_that_its_answer_hides(
    stranger: httpx.Client, person: Person, trail: Trail, interaction: str
) -> None:
    answer = stranger.get(person.at(READS[interaction]))
    (trace,) = trail.new()

    assert answer.status_code == 404 or answer.json()["total"] == 0
    assert (trace.event.organisation, trace.event.person_key) == ("B99999", person.key)
    assert (trace.event.interaction, trace.event.resource_types) == TRACED[interaction]
    assert (trace.event.visibility, trace.event.reason) == ("none", "no-relationship")


def test_who_reads_because_of_a_referral_leaves_that_reason(services: Services, person: Person, trail: Trail) -> None:
    with services.client(person.made.recipient, network="community") as recipient:
        answers = [recipient.get(person.at(READS[each])) for each in ("everything", "story of a referral")]

    assert [answer.status_code for answer in answers] == [200, 200]
    events = [trace.event for trace in trail.new()]
    assert {(event.visibility, event.reason) for event in events} == {("all", "open-referral")}
    assert [event.interaction for event in events] == ["$everything", "$story"]


def test_a_search_by_form_leaves_the_trace_of_a_search(practice: httpx.Client, person: Person, trail: Trail) -> None:
    practice.post("/fhir/Condition/_search", data={"patient": person.number})

    (trace,) = trail.new()
    assert (trace.event.interaction, trace.event.person_key) == ("search-type", person.key)


def test_each_read_of_a_batch_leaves_the_trace_of_that_read(
    practice: httpx.Client, stranger: httpx.Client, person: Person, trail: Trail
) -> None:
    names = ("read", "search", "summary")
    entries = [{"request": {"method": "GET", "url": person.at(READS[name]).removeprefix("/fhir/")}} for name in names]
    batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    correlation_id = str(uuid.uuid4())

    answers = [
        client.post("/fhir", json=batch, headers={**SENT, "X-Correlation-Id": correlation_id}).json()["entry"]
        for client in (practice, stranger)
    ]

    statuses = [[entry["response"]["status"] for entry in answer] for answer in answers]
    assert statuses == [["200 OK"] * 3, ["404 Not Found"] * 3]
    assert [entry["resource"]["resourceType"] for entry in answers[0]] == ["Condition", "Bundle", "Bundle"]
    assert all("resource" not in entry for entry in answers[1])
    events = [trace.event for trace in trail.new()]
    assert {(event.person_key, event.correlation_id) for event in events} == {(person.key, correlation_id)}
    for organisation, visibility in (("A81001", "all"), ("B99999", "none")):
        own = [event for event in events if event.organisation == organisation]
        assert sorted((event.interaction, event.resource_types) for event in own) == sorted(TRACED[n] for n in names)
        assert {event.visibility for event in own} == {visibility}


def test_a_search_in_the_directory_leaves_no_trace(stranger: httpx.Client, trail: Trail) -> None:
    assert stranger.get("/fhir/Organization?_count=1").status_code == 200

    assert trail.new() == []


def test_a_search_by_name_leaves_a_trace_with_everybody_who_may_be_meant(
    practice: httpx.Client, stranger: httpx.Client, person: Person, trail: Trail
) -> None:
    name = f"Trace{uuid.uuid4().hex}"
    publish(practice, patient(person.number, f"{person.number}-p", name=[{"family": name}]))
    path = f"/fhir/Patient?family={name}&birthdate=1941-03-02"

    assert practice.get(path).json()["total"] == 1
    (shown,) = trail.new()
    assert stranger.get(path).json()["total"] == 0
    (hidden,) = trail.new()

    for trace, visibility in ((shown, "all"), (hidden, "none")):
        assert (trace.event.person_key, trace.event.visibility) == (person.key, visibility)
        assert (trace.event.interaction, trace.event.resource_types) == ("search-type", ("Patient",))


def test_a_search_by_name_that_finds_nobody_leaves_a_trace_as_one_for_somebody_unseen_does(
    stranger: httpx.Client, trail: Trail
) -> None:
    assert stranger.get(f"/fhir/Patient?family=Trace{uuid.uuid4().hex}&birthdate=1941-03-02").json()["total"] == 0

    (trace,) = trail.new()
    assert (trace.event.interaction, trace.event.visibility) == ("search-type", "none")


def test_who_sees_its_own_statements_alone_leaves_that(services: Services, person: Person, trail: Trail) -> None:
    with services.client("RX001", network="hospitals") as hospital:
        publish(hospital, condition(person.number, f"{person.number}-h", "Fall"))
        assert hospital.get(f"/fhir/Patient/{person.number}/$everything").status_code == 200

    (trace,) = trail.new()
    assert (trace.event.organisation, trace.event.visibility) == ("RX001", "own")
    assert trace.event.reason == "own-statements"


def test_a_read_of_somebody_whom_nobody_has_spoken_of_leaves_a_trace(practice: httpx.Client, trail: Trail) -> None:
    assert practice.get(f"/fhir/Patient/{new_nhs_number()}/$everything").status_code == 404

    (trace,) = trail.new()
    assert (trace.event.visibility, trace.event.reason) == ("none", "no-relationship")


def test_an_answer_without_a_body_leaves_a_trace_too(practice: httpx.Client, person: Person, trail: Trail) -> None:
    address, everything = f"/fhir/Condition/{person.problem}", f"/fhir/Patient/{person.number}/$everything"
    known = practice.get(everything).headers["ETag"]
    assert practice.get(everything, headers={"If-None-Match": known}).status_code == 304
    assert practice.get(f"{address}/_history/{uuid.uuid4()}").status_code == 404
    withdrawn = practice.delete(f"/fhir/Condition/{person.number}-c?patient={person.number}", headers=SENT)
    assert withdrawn.status_code == 204
    assert practice.get(address).status_code == 410
    assert practice.get(f"{address}/_history/{withdrawn.headers['X-OneStory-Event-Id']}").status_code == 410

    read = [(trace.event.interaction, trace.event.person_key) for trace in trail.new()]
    interactions = ["$everything", "$everything", "vread", "read", "vread"]
    assert read == [(each, person.key) for each in interactions]


def test_each_page_leaves_a_trace(practice: httpx.Client, person: Person, trail: Trail) -> None:
    url, pages = f"/fhir/Patient/{person.number}/$everything?_count=1", 0
    while url:
        page = practice.get(url).json()
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
        pages += 1

    # The shared Patient, the authority's and the practice's Patients, the problem, the referral and its Task.
    assert pages == 6
    assert len(trail.new()) == pages


def test_a_party_to_a_referral_reads_it_with_a_trace_and_who_is_refused_leaves_one_too(
    services: Services, practice: httpx.Client, stranger: httpx.Client, person: Person, trail: Trail
) -> None:
    sent = refer(practice, service_request(person.number, new_team(services, "RZ1")))
    addresses = [f"/fhir/Task/{task_of(sent)}", f"/fhir/ServiceRequest/{sent.json()['id']}"]
    with services.client("RZ1") as nurses:
        # A command with an outdated version shows the nurses the current one.
        accepted = act(nurses, task_of(sent), "accept", sent.headers["ETag"])
        stale = act(nurses, task_of(sent), "start", sent.headers["ETag"])
        trail.new()
        known = practice.get(addresses[0], headers={"If-None-Match": accepted.headers["ETag"]})
        read = [client.get(address) for client in (practice, nurses) for address in addresses]
    events = [trace.event for trace in trail.new()]
    refused = [stranger.get(address) for address in addresses]
    hidden = [trace.event for trace in trail.new()]

    assert (stale.status_code, known.status_code) == (412, 304)
    assert [answer.status_code for answer in (*read, *refused)] == [200] * 4 + [404] * 2
    kinds = [("Task",), ("Task",), ("ServiceRequest",), ("Task",), ("ServiceRequest",)]
    assert [each.resource_types for each in events] == kinds
    assert {(each.interaction, each.reason, each.person_key) for each in events} == {
        ("read", "referral-party", person.key)
    }
    assert [each.organisation for each in events] == ["A81001"] * 3 + ["RZ1"] * 2
    assert {(each.organisation, each.visibility, each.person_key) for each in hidden} == {
        ("B99999", "none", person.key)
    }
    assert len(hidden) == 2


def test_what_is_said_of_a_referral_is_read_with_a_trace(
    services: Services, practice: httpx.Client, person: Person, trail: Trail
) -> None:
    sent = refer(practice, advice_request(person.number, new_team(services, "RZ1")))
    said = say(practice, task_of(sent), sent.headers["ETag"], "information", "Since May.")
    assert practice.get(f"/fhir/Task/{task_of(sent)}/$messages").json()["total"] == 1
    assert practice.get(f"/fhir/Communication/{said.json()['id']}").status_code == 200
    for answer in (
        say(practice, task_of(sent), sent.headers["ETag"], "information"),
        act(practice, task_of(sent), "convert", sent.headers["ETag"]),
    ):
        assert answer.status_code == 412

    events = [trace.event for trace in trail.new()]

    assert [(each.interaction, each.resource_types) for each in events] == [
        ("$message", ("Task",)),
        ("$messages", ("Communication",)),
        ("read", ("Communication",)),
        ("$message", ("Task",)),
        ("$convert", ("Task",)),
    ]
    assert {(each.person_key, each.reason) for each in events} == {(person.key, "referral-party")}


def test_what_is_asked_for_again_is_answered_with_a_trace(
    services: Services, practice: httpx.Client, person: Person, trail: Trail
) -> None:
    key, again = {"Idempotency-Key": "made"}, {"Idempotency-Key": "again"}
    request, to = advice_request(person.number, new_team(services, "RZ1")), new_team(services, "RZ2")
    elsewhere = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{to}"}}
    first, other = refer(practice, request, **key), refer(practice, request)
    for _ in range(2):
        redirected = act(practice, task_of(first), "redirect", first.headers["ETag"], REASON, elsewhere, **again)
        converted = act(practice, task_of(other), "convert", other.headers["ETag"], elsewhere, **again)
        assert (redirected.status_code, converted.status_code) == (200, 200)
    assert refer(practice, request, **key).status_code == 200

    events = [trace.event for trace in trail.new()]

    assert [each.interaction for each in events] == ["$redirect", "$convert"] * 2 + ["create"]


@needs_shared_data
def test_what_is_read_by_the_addresses_of_bars_is_read_with_a_trace(
    services: Services, practice: httpx.Client, person: Person, trail: Trail
) -> None:
    said = message("REFREQ03", person.number, new_service(services))
    one(said, "MessageHeader").pop("sender")
    request = one(answered(send(practice, said)), "ServiceRequest")
    identifier = f"patient:identifier={NHS_NUMBER_SYSTEM}|{person.number}"
    for address in (f"/ServiceRequest/{request['id']}", f"/ServiceRequest?{identifier}"):
        assert practice.get(address).status_code == 200
    assert practice.get(f"/Appointment?{identifier}").json()["total"] == 0

    events = [trace.event for trace in trail.new()]

    assert [(each.interaction, each.reason) for each in events] == [
        ("read", "referral-party"),
        ("search-type", "referral-party"),
        ("search-type", "no-relationship"),
    ]
    assert {each.person_key for each in events} == {person.key}


def test_a_stranger_leaves_the_same_trace_of_a_referral_that_exists_and_of_one_that_does_not(
    services: Services, practice: httpx.Client, stranger: httpx.Client, person: Person, trail: Trail
) -> None:
    sent, nobody = refer(practice, service_request(person.number, new_team(services, "RZ1"))), new_nhs_number()
    invented = f"{keys_of(services).person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, nobody))}-{'a' * 26}"
    trail.new()

    def refused(task: str, number: str) -> tuple[list[tuple[int, str]], list[tuple[str, str, str]]]:
        identifier = f"patient:identifier={NHS_NUMBER_SYSTEM}|{number}"
        reads = (f"/fhir/Task/{task}/$messages", f"/ServiceRequest/{task}", f"/Appointment/{task}")
        searches = (f"/ServiceRequest?{identifier}", f"/Appointment?{identifier}")
        answers = [stranger.get(address) for address in (*reads, *searches)]
        answers += [act(stranger, task, action, sent.headers["ETag"]) for action in ("accept", "claim", "convert")]
        answers.append(say(stranger, task, sent.headers["ETag"], "information"))
        events = [trace.event for trace in trail.new()]
        assert len({event.person_key for event in events}) == 1
        return (
            [(answer.status_code, answer.text) for answer in answers],
            [(event.interaction, event.visibility, event.reason) for event in events],
        )

    known, unknown = refused(task_of(sent), person.number), refused(invented, nobody)

    assert known == unknown
    assert [status for status, _ in known[0]] == [404, 404, 404, 200, 200, 404, 404, 404, 404]
    named = ("$messages", "read", "read", "search-type", "search-type", "$accept", "$claim", "$convert", "$message")
    assert known[1] == [(interaction, "none", "no-relationship") for interaction in named]


def test_each_identity_of_a_joined_person_has_its_own_trace(
    services: Services, practice: httpx.Client, person: Person, trail: Trail
) -> None:
    old = new_nhs_number()
    registered = publish(practice, patient(old, f"{old}-p"))
    of_old = parse_shared_id(registered.path.split("/")[3])
    replaces = [{"other": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": old}}, "type": "replaces"}]
    with services.client("X26", network="national") as demographics:
        publish(
            demographics, said_at(patient(person.number, f"{person.number}-d", link=replaces), "2026-10-01T10:00:00Z")
        )

    assert practice.get(f"/fhir/Patient/{person.number}/$everything").status_code == 200

    assert of_old is not None
    # The keys include provisional identities of sources that now know the number. Each key occurs once.
    keys = [trace.event.person_key for trace in trail.new()]
    assert {person.key, of_old.person_key} <= set(keys)
    assert len(keys) == len(set(keys))


def test_what_is_about_nobody_leaves_no_trace(
    services: Services, practice: httpx.Client, person: Person, trail: Trail
) -> None:
    team = publish(practice, {"resourceType": "Organization", "id": person.number[-4:], "name": "Leg ulcer clinic"})
    publish(practice, condition(person.number, f"{person.number}-c", "Gout again"))
    address = team.path.partition("/_history/")[0]
    asked = {
        200: [address, f"{address}/_history", team.path, "/fhir/metadata", "/health/live", "/health/ready", "/metrics"],
        400: ["/fhir/Condition", "/fhir/Patient?name=Okafor"],
        404: ["/fhir/Condition/no-id-of-ours", "/no/such/address"],
    }

    for status, addresses in asked.items():
        assert {each: practice.get(each).status_code for each in addresses} == dict.fromkeys(addresses, status)
    for address in READS.values():
        assert httpx.get(services.base_url + person.at(address), trust_env=False).status_code == 401

    assert trail.new() == []


def test_no_nhs_number_is_in_a_trace(
    practice: httpx.Client, stranger: httpx.Client, person: Person, trail: Trail
) -> None:
    for client in (practice, stranger):
        for address in READS.values():
            client.get(person.at(address))

    traces = trail.new()
    assert len(traces) == 2 * len(READS)
    for trace in traces:
        assert trace.key == person.key.encode()
        assert person.number not in trace.raw


def test_readers_at_the_same_time_each_leave_their_own_trace(
    practice: httpx.Client, person: Person, trail: Trail
) -> None:
    def read(correlation_id: str) -> int:
        return practice.get(f"/fhir/Patient/{person.number}", headers={"X-Correlation-Id": correlation_id}).status_code

    ids = [str(uuid.uuid4()) for _ in range(200)]
    with ThreadPoolExecutor(16) as readers:
        assert set(readers.map(read, ids)) == {200}

    traces = trail.new()
    assert sorted(trace.event.correlation_id for trace in traces) == sorted(ids)
    assert len({trace.event.access_id for trace in traces}) == len(ids)
