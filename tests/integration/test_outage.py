"""Promise 1: nothing accepted is lost while Kafka or PostgreSQL is away, or when a process is asked to stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from threading import Event
from uuid import UUID

import fhirkit
import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, transaction
from tests.stack import Services, Stack
from tests.waiting import until

from onestory.local.up import answers_200

FHIR_JSON = {"Content-Type": "application/fhir+json"}
WAIT = {**FHIR_JSON, "Prefer": "wait=30"}
PROMISED_S = 5.0
"""In which a publish is answered while Kafka is away."""
MARGIN_S = 5.0
"""For a machine that has other things to do; the defaults of the Kafka client are 60 and 120 s."""


@pytest.fixture
def person(practice: httpx.Client) -> str:
    """The NHS number of a person whose practice has published a Patient."""
    number = new_nhs_number()
    assert practice.put(f"/fhir/Patient/{number}-p", json=patient(number, f"{number}-p"), headers=WAIT).is_success
    return number


@contextmanager
def away(kill: Callable[[], None], start: Callable[[], None], services: Services) -> Iterator[None]:
    """Stops a part of the stack. At the end the part is back and the processes are ready again."""
    kill()
    try:
        yield
    finally:
        start()
        for name in ("serve", "project"):
            until(lambda name=name: answers_200(f"{services.stack.health[name]}/health/ready"))  # type: ignore[misc]


@contextmanager
def kafka_away(stack: Stack, services: Services) -> Iterator[None]:
    with away(stack.kill_kafka, stack.start_kafka, services):
        yield


@contextmanager
def postgres_away(stack: Stack, services: Services) -> Iterator[None]:
    with away(stack.kill_postgres, stack.start_postgres, services):
        yield


def publish(client: httpx.Client, number: str, text: str, key: str, **headers: str) -> httpx.Response:
    """Publish a problem of this person. The idempotency key is the id of the resource too."""
    sent = {**FHIR_JSON, "Idempotency-Key": key, **headers}
    return client.put(f"/fhir/Condition/{key}", json=condition(number, key, text), headers=sent)


def problems(client: httpx.Client, number: str) -> list[str]:
    found = client.get("/fhir/Condition", params={"patient": number, "_count": 1000})
    assert found.status_code == 200, found.text
    return sorted(entry["resource"]["code"]["text"] for entry in found.json().get("entry", []))


def assert_come_back_later(answer: httpx.Response) -> None:
    """The answer is 503 with Retry-After and an OperationOutcome whose issue is transient."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert fhirkit.validate(answer.text) == []
    assert [issue["code"] for issue in answer.json()["issue"]] == ["transient"]


def event_ids(answer: httpx.Response) -> list[UUID]:
    return [UUID(each) for each in answer.headers["X-OneStory-Event-Id"].split(", ")]


@pytest.mark.alone
def test_a_publish_without_kafka_is_answered_in_time_and_its_repetition_makes_one_statement(
    stack: Stack, services: Services, practice: httpx.Client, person: str
) -> None:
    people = [new_nhs_number() for _ in range(3)]
    batch = transaction(*[condition(number, f"{number}-c") for number in people], type="batch")
    in_batch = {**FHIR_JSON, "Idempotency-Key": people[0]}

    def timed(place: int) -> tuple[httpx.Response, float]:
        began = time.monotonic()
        answer = publish(practice, person, f"Problem {place}", f"{person}-{place}")
        return answer, time.monotonic() - began

    # The first request finds that Kafka is away. Then many requests come at once, and none waits for the others.
    with kafka_away(stack, services), ThreadPoolExecutor(20) as publishers:
        told = [timed(0)]
        of_batch = publishers.submit(practice.post, "/fhir", json=batch, headers=in_batch)
        told += publishers.map(timed, range(1, 20))

    for answer, seconds in told:
        assert_come_back_later(answer)
        assert len(event_ids(answer)) == 1
        assert seconds < PROMISED_S + MARGIN_S

    # A repetition is safe, whatever happened to the first attempts.
    for _ in range(2):
        repeated = [publish(practice, person, f"Problem {n}", f"{person}-{n}", Prefer="wait=30") for n in range(20)]
        assert all(each.is_success for each in repeated)
        assert [event_ids(each) for each in repeated] == [event_ids(answer) for answer, _ in told]

    assert problems(practice, person) == sorted(f"Problem {place}" for place in range(20))
    for each in repeated:
        address = each.headers["Location"].partition("/_history/")[0]
        assert practice.get(f"{address}/_history").json()["total"] == 1

    # Each person's statement in the batch has its own event id. The first answer gives it, and it stays the same.
    known = practice.post("/fhir", json=batch, headers=in_batch)
    assert_come_back_later(of_batch.result())
    assert known.status_code == 200, known.text
    assert event_ids(known) == event_ids(of_batch.result())
    assert len(event_ids(known)) == 3


@pytest.mark.alone
def test_a_door_that_starts_without_kafka_answers_in_time_and_finds_it_later(
    stack: Stack, services: Services, practice: httpx.Client, person: str
) -> None:
    with ThreadPoolExecutor(1) as beside:
        with kafka_away(stack, services):
            services.stop("serve")
            starting = beside.submit(services.start, "serve")  # returns when the process is ready, so not without Kafka
            until(lambda: answers_200(f"{services.base_url}/health/live"))
            began = time.monotonic()
            answer = publish(practice, person, "Gout", f"{person}-gout")
            seconds = time.monotonic() - began
        starting.result()

    assert_come_back_later(answer)
    assert seconds < PROMISED_S + MARGIN_S
    assert publish(practice, person, "Gout", f"{person}-gout", Prefer="wait=30").is_success
    assert problems(practice, person) == ["Gout"]


def test_nothing_is_read_without_kafka_because_it_could_not_be_audited(
    stack: Stack, services: Services, practice: httpx.Client, person: str
) -> None:
    problem = publish(practice, person, "Gout", f"{person}-gout", Prefer="wait=30").headers["Location"]
    reads = [
        f"/fhir/Patient/{person}",
        f"/fhir/Patient/{person}/$everything",
        f"/fhir/Patient?identifier=https://fhir.nhs.uk/Id/nhs-number|{person}",
        f"/fhir/Condition?patient={person}",
        problem.partition("/_history/")[0],
        problem.partition("/_history/")[0] + "/_history",
        problem,
    ]

    with (
        kafka_away(stack, services),
        services.client("B99999", network="elsewhere") as stranger,
        ThreadPoolExecutor(2 * len(reads)) as readers,
    ):
        asked = [readers.submit(client.get, each) for client in (practice, stranger) for each in reads]
        refused = [answer.result() for answer in asked]
        open_to_all = practice.get("/fhir/metadata")
        ready = practice.get("/health/ready")

    for answer in refused:
        assert_come_back_later(answer)
        assert "Gout" not in answer.text
    assert open_to_all.status_code == 200
    assert ready.status_code == 503
    assert [practice.get(each).status_code for each in reads] == [200] * len(reads)


def test_without_postgresql_a_publish_is_taken_and_read_once_it_is_back(
    stack: Stack, services: Services, practice: httpx.Client, person: str
) -> None:
    projector = services.pid("project")

    with postgres_away(stack, services):
        taken = [publish(practice, person, f"Problem {place}", f"{person}-{place}") for place in range(10)]
        waited = publish(practice, person, "Problem 10", f"{person}-10", Prefer="wait=1")
        read = practice.get(f"/fhir/Condition?patient={person}")
        everything = practice.get(f"/fhir/Patient/{person}/$everything")

    # Accepted publishes stay accepted. The publisher that asked to wait learns that visibility is unknown.
    assert [answer.status_code for answer in taken] == [200] * 10
    assert len(event_ids(waited)) == 1
    for answer in (waited, read, everything):
        assert_come_back_later(answer)

    for answer in taken:
        seen = practice.get(
            "/fhir/Condition", params={"patient": person, "after": answer.headers["X-OneStory-Position"]}
        )
        assert seen.status_code == 200, seen.text
    assert publish(practice, person, "Problem 10", f"{person}-10", Prefer="wait=30").is_success
    assert problems(practice, person) == sorted(f"Problem {place}" for place in range(11))
    assert services.pid("project") == projector


@pytest.mark.parametrize("name", ["serve", "project"])
def test_what_was_acknowledged_before_a_process_was_asked_to_stop_can_be_read(
    services: Services, practice: httpx.Client, person: str, name: str
) -> None:
    with ThreadPoolExecutor(8) as beside, publishing(services, beside, person) as acknowledged:
        until(lambda: len(acknowledged) >= 50)
        code = stop_in_order(services, name)
        so_far = len(acknowledged)
        if name == "project":
            until(lambda: len(acknowledged) >= so_far + 50)
    services.start(name)

    assert code == 0
    assert publish(practice, person, "Last", f"{person}-last", Prefer="wait=30").is_success
    assert set(acknowledged) - set(problems(practice, person)) == set()


@contextmanager
def publishing(services: Services, beside: ThreadPoolExecutor, number: str) -> Iterator[list[str]]:
    """Eight clients publish one problem after another until the block ends. Yields the problems acknowledged so far."""
    acknowledged: list[str] = []
    places = count()
    ended = Event()

    def publish_on() -> None:
        with services.client("A81001", network="harbour") as client:
            while not ended.is_set():
                text = f"Problem {next(places)}"
                try:
                    # Kafka acknowledges the publish. Without a projector, each request
                    # would wait two seconds for readers.
                    key = f"{number}-{text.rpartition(' ')[2]}"
                    answer = publish(client, number, text, key, Prefer="return=minimal")
                except httpx.TransportError:
                    ended.wait(0.05)  # without an answer nothing is promised
                    continue
                if answer.is_success:
                    acknowledged.append(text)
                else:
                    assert_come_back_later(answer)

    publishers = [beside.submit(publish_on) for _ in range(8)]
    try:
        yield acknowledged
    finally:
        ended.set()
    for publisher in publishers:
        publisher.result()


def stop_in_order(services: Services, name: str) -> int:
    """Send SIGTERM and return the exit code."""
    pid = services.pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    ended: list[int] = []

    def gone() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        ended.extend([os.waitstatus_to_exitcode(status)] if found else [])
        return bool(ended)

    until(gone)
    return ended[0]
