"""A person's data reaches readers of the record only: no log, metric, message key or error contains it.

The processes write no traces; they only pass a `traceparent` on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from tests.bars import encoded, message, new_service, one
from tests.contract.shared_data import DATA
from tests.people import condition, new_nhs_number, patient, transaction
from tests.referrals import new_team, service_request, task_of
from tests.stack import PROCESSES, Services, Stack
from tests.waiting import until

from onestory.local.up import answers_200 as well
from onestory.shared.identity import NHS_NUMBER_SYSTEM
from onestory.shared.kafka.schemas import RECORD_TOPIC, topics

NUMBER = new_nhs_number()
OTHER_NUMBER = new_nhs_number()
NO_NUMBER = NUMBER[:-1] + str((int(NUMBER[-1]) + 1) % 10)
"""One digit is wrong, so it is refused, and it says who it is all the same."""
FAMILY = "Quillfeather"
GIVEN = "Zéphyrine"
TEXT = "hoards vexillological marmalade"
SECRETS = (NUMBER, OTHER_NUMBER, NO_NUMBER, FAMILY, GIVEN, TEXT)
CORRELATION = "0193a8c2-7d6b-7c11-8f3e-5a2b9c0d1e2f"
SENT = {"Content-Type": "application/fhir+json"}
WAIT = {**SENT, "Prefer": "wait=30"}


def forms(secret: str) -> Iterator[str]:
    """Yield the forms of a secret that a reader could recognise, or find by trying."""
    raw = secret.encode()
    yield from (secret, json.dumps(secret)[1:-1], quote(secret), raw.hex(), repr(raw)[2:-1])
    yield from (hashlib.new(name, raw).hexdigest() for name in ("md5", "sha1", "sha256"))
    # Inside a longer text, base64 has one of three forms; its ends depend on the bytes around it.
    yield from (base64.b64encode(b"x" * shift + raw)[4:-4].decode() for shift in range(3))
    if secret.isdigit():
        yield from (mark.join((secret[:3], secret[3:6], secret[6:])) for mark in (" ", "-", "\u00a0"))


def leaks(text: str, secrets: Collection[str] = SECRETS) -> set[str]:
    """Return the secrets that a text contains in any form."""
    lowered = text.lower()
    return {secret for secret in secrets if any(form.lower() in lowered for form in forms(secret))}


@dataclass(slots=True)
class Evidence:
    """All output of the requests other than the record itself: answers, logs, metrics, keys and headers."""

    answers: list[httpx.Response] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    """Keys and headers of messages, by topic."""
    person_key: str = ""

    def errors(self) -> list[httpx.Response]:
        """Return the answers that refuse all or part of a request."""
        return [answer for answer in self.answers if answer.is_error or "OperationOutcome" in answer.text]


def her(local_id: str = "quill-p", **elements: Any) -> dict[str, Any]:
    """Return the Patient of the person whose data must stay secret."""
    said = {"name": [{"family": FAMILY, "given": [GIVEN]}], "address": [{"text": TEXT}], **elements}
    return patient(NUMBER, local_id, **said)


def problem(local_id: str = "quill-c", **elements: Any) -> dict[str, Any]:
    return condition(NUMBER, local_id, TEXT, note=[{"text": f"{GIVEN} {FAMILY} {TEXT}"}], **elements)


class Deeds:
    """Sends the requests of publishers and readers, and keeps every answer."""

    def __init__(self, stack: Stack, services: Services) -> None:
        self.stack, self.services = stack, services
        self.evidence = Evidence()
        self._clients = {
            "practice": services.client("A81001", network="harbour"),
            "hospital": services.client("RX001", network="hospitals"),
            "stranger": services.client("B99999", network="elsewhere"),
        }

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def ask(self, method: str, url: str, who: str = "practice", **request: Any) -> httpx.Response:
        answer = self._clients[who].request(method, url, **request)
        self.evidence.answers.append(answer)
        return answer

    def put(self, resource: dict[str, Any], who: str = "practice", **headers: str) -> httpx.Response:
        url = f"/fhir/{resource['resourceType']}/{resource['id']}"
        return self.ask("PUT", url, who, json=resource, headers={**SENT, **headers})

    def publish(self) -> str:
        """Publish the person and a problem. Return the path of the problem."""
        said = self.ask("POST", "/fhir", json=transaction(her(), problem()), headers=WAIT)
        assert said.status_code == 200, said.text
        self.put(problem("quill-h"), "hospital", Prefer="wait=30")
        address = httpx.URL(said.json()["entry"][1]["response"]["location"]).path
        self.evidence.person_key = address.split("/")[3].partition("-")[0]
        return address

    def read(self, address: str) -> None:
        resource = address.partition("/_history/")[0]
        for who in self._clients:
            for url in (
                f"/fhir/Patient/{NUMBER}",
                f"/fhir/Patient/{NUMBER}/$everything",
                f"/fhir/Patient/{NUMBER}/$freshness",
                f"/fhir/Patient/{NUMBER}/$freshness?code={quote(TEXT)}",
                f"/fhir/Patient/{NUMBER}/$summary",
                f"/fhir/Patient/{NUMBER}/$summary?asOf={quote(TEXT)}",
                f"/fhir/Patient/{NUMBER}/$merged",
                f"/fhir/Patient/{NUMBER}/$merged?_since={quote(TEXT)}",
                f"/fhir/ServiceRequest/{NUMBER}/$story",
                f"/fhir/Task/{FAMILY}/$story?code={quote(TEXT)}",
                f"/notices?since={quote(TEXT)}&team={FAMILY}",
                f"/notices?cursor={FAMILY}",
                f"/worklists/breaches?organisation={quote(TEXT)}",
                f"/worklists/breaches?team={NUMBER}&{FAMILY}={quote(TEXT)}",
                f"/worklists/teams?name={FAMILY}",
                f"/worklists/teams/{FAMILY}?priority={quote(TEXT)}",
                f"/worklists/teams/{FAMILY}/events",
                f"/worklists/organisations/{FAMILY}?{FAMILY}={NUMBER}",
                f"/worklists/mine?cursor={FAMILY}&status={quote(TEXT)}",
                f"/fhir/Task?owner={FAMILY}&status={quote(TEXT)}",
                f"/fhir/Task?owner:identifier={FAMILY}|{NUMBER}",
                f"/fhir/_history?patient={NUMBER}",
                f"/fhir/_history?patient={FAMILY}&_cursor={FAMILY}",
                f"/fhir/Provenance?target={resource[6:]}&patient={NUMBER}",
                f"/fhir/Provenance?target=Condition/{FAMILY}",
                f"/fhir/Patient?identifier={NHS_NUMBER_SYSTEM}|{NUMBER}",
                f"/fhir/Condition?patient={NUMBER}",
                f"/fhir/Condition?patient={NUMBER}&code={quote(TEXT)}",
                f"/fhir/Condition?patient={NUMBER}&patient={OTHER_NUMBER}",
                f"/fhir/Patient?name={FAMILY}",
                f"/fhir/Patient?family={FAMILY}&given={GIVEN}&birthdate=1941-03-02",
                f"/fhir/Patient?family={FAMILY}&birthdate={FAMILY}",
                f"/fhir/Condition?patient={NUMBER}&recorded-date={FAMILY}&_sort={FAMILY}&_include={FAMILY}",
                f"/fhir/Condition?patient={NUMBER}&encounter=Encounter/{quote(TEXT)}&code=|{FAMILY}|",
                f"/fhir/Patient/{NUMBER}/$everything?_since={quote(TEXT)}",
                f"/fhir/Patient/{NUMBER}/$everything?_type={quote(TEXT)}&_count={FAMILY}",
                f"/fhir/Patient/{NUMBER}/$everything?_cursor={FAMILY}&after={FAMILY}",
                f"/fhir/Condition?patient={NO_NUMBER}",
                f"/fhir/Patient/{NO_NUMBER}",
                f"/fhir/Condition/{FAMILY}",
                f"/fhir/{FAMILY}/1",
                f"/{quote(GIVEN)}/{NUMBER}",
                *(resource, f"{resource}/_history", address, f"{resource}/_history/{FAMILY}"),
            ):
                self.ask("GET", url, who, headers={"X-Correlation-Id": CORRELATION})
        self.ask("POST", "/fhir/Condition/_search", data={"patient": NUMBER, "code": TEXT})
        self.ask("GET", f"/fhir/Patient/{NUMBER}", headers={"Accept": f"text/{FAMILY}"})
        self.ask("GET", f"/fhir/Patient/{NUMBER}", headers={"Authorization": f"Bearer {FAMILY}.{NUMBER}"})
        self.ask("PATCH", f"/fhir/Patient/{NUMBER}", json=her())

    def be_refused(self, address: str) -> None:
        whole = json.dumps(problem()).encode()
        for body in (
            whole[:-1],
            whole + whole,
            whole.replace(b"Heart failure", b"\xff" + FAMILY.encode()),
            whole.replace(b'"84114007"', b"NaN"),
            whole.replace(b'"code":', f'"{NUMBER} {FAMILY}":'.encode()),
            whole.replace(b'"text":', f'"{NUMBER}":'.encode()),
            whole.replace(b'"text":', b'"text": "x", "text":'),
            whole.replace(b'"Condition"', f'"{GIVEN}{FAMILY}"'.encode()),
            TEXT.encode(),
            b"[" * 5000 + whole,
            whole.replace(TEXT.encode(), TEXT.encode() * 400_000),
        ):
            self.ask("POST", "/fhir/Condition", content=body, headers=SENT)
        for wrong in (
            {"recordedDate": TEXT},
            {"onsetAge": {"value": f"{NUMBER}"}},
            {"clinicalStatus": {"coding": [{"code": FAMILY}], "text": TEXT}},
            {"subject": {"reference": f"Patient/{FAMILY}"}},
            {"subject": {"reference": f"Patient/{NO_NUMBER}", "display": FAMILY}},
            {"subject": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": NO_NUMBER}}},
            {"encounter": {"reference": f"urn:uuid:{FAMILY}"}},
            {"encounter": {"reference": f"Encounter?identifier={FAMILY}&name={FAMILY}"}},
            {"encounter": {"reference": f"{FAMILY}/{NUMBER}"}},
            {"contained": [her(), {**her(), "id": TEXT}]},
            {"meta": {"lastUpdated": "2999-01-01T00:00:00Z", "source": f"urn:{FAMILY}"}},
            {"meta": {"source": f"https://onestory.nhs.uk/organisations/RX001#{FAMILY}"}},
            {"extension": [{"url": TEXT, "valueString": TEXT, "valueCode": FAMILY}]},
            {FAMILY + " " + GIVEN: TEXT},
            {"id": f"{GIVEN} {FAMILY}"},
            {"id": FAMILY * 20},
        ):
            self.ask("POST", "/fhir/Condition", json={**problem(), **wrong}, headers=SENT)
            batch = transaction({**problem(), **wrong}, her("quill-q"), type="batch")
            self.ask("POST", "/fhir", json=batch, headers=SENT)
        for wrong in ({"gender": FAMILY}, {"birthDate": TEXT}, {"name": [{"use": FAMILY}]}, {"identifier": NUMBER}):
            self.put(her(**wrong))
        self.put({**her(), "identifier": [{"system": NHS_NUMBER_SYSTEM, "value": NO_NUMBER}]})
        several = [{"system": NHS_NUMBER_SYSTEM, "value": number} for number in (NUMBER, OTHER_NUMBER)]
        self.put(her(identifier=several))
        two = transaction(her(), patient(OTHER_NUMBER, "quill-o"), problem())
        self.ask("POST", "/fhir", json=two, headers=SENT)
        self.ask("POST", "/fhir", json={**two, "type": FAMILY}, headers=SENT)
        # A practice may not state a resource of the hospital, even when it knows the shared id.
        others = self.ask("GET", f"/fhir/Condition?patient={NUMBER}", "hospital").json()["entry"][0]["resource"]["id"]
        self.put(problem(others))
        self.ask("PUT", f"/fhir/Condition/{FAMILY}", json=problem(), headers=SENT)
        self.ask("PUT", f"/fhir/Condition?identifier={FAMILY}&name={GIVEN}", json=problem(), headers=SENT)
        self.ask("DELETE", f"/fhir/Condition/{FAMILY}?patient={NO_NUMBER}")
        self.ask("DELETE", f"/fhir/Condition/{FAMILY}?patient={NUMBER}&name={FAMILY}")
        self.ask("DELETE", "/fhir/Condition/quill-c", params={"patient": NUMBER}, headers={"Prefer": "wait=30"})
        self.ask("GET", address.partition("/_history/")[0])
        for headers in (
            {"Content-Type": f"text/{FAMILY}"},
            {"If-Match": f'W/"{FAMILY}"'},
            {"If-None-Exist": f"name={FAMILY}"},
            {"Content-Encoding": "gzip"},
            {"X-Complete-Types": FAMILY},
            {"X-Sequence": NUMBER + FAMILY},
            {"X-Source-System": f"{FAMILY}\x7f"},
        ):
            self.ask("POST", "/fhir/Condition", json=problem(), headers={**SENT, **headers})

    def be_talked_about(self) -> None:
        """Send messages about her referral: from its parties, from a stranger, and with errors."""
        team = new_team(self.services, "RX001")
        sent = self.ask(
            "POST", "/fhir/ServiceRequest", json=service_request(NUMBER, team, code={"text": TEXT}), headers=SENT
        )
        task = f"/fhir/Task/{task_of(sent)}"
        headers = {**SENT, "If-Match": sent.headers["ETag"]}
        question = {"name": "category", "valueCode": "question"}
        letter = {"contentType": f"text/{FAMILY}", "title": TEXT, "url": f"https://example.org/{FAMILY}"}
        self.ask("POST", f"{task}/$convert", json={"resourceType": "Parameters", "id": FAMILY}, headers=headers)
        for said in (
            [{"name": "category", "valueCode": FAMILY}, {"name": "text", "valueString": TEXT}],
            [question, {"name": FAMILY, "valueString": TEXT}],
            [question, {"name": "text", "valueCode": FAMILY}],
            [question, {"name": "attachment", "valueAttachment": letter}],
            [question, {"name": "about", "valueReference": {"reference": f"Patient/{OTHER_NUMBER}", "display": TEXT}}],
            [{"name": "category", "valueCode": "answer"}, {"name": "text", "valueString": f"{FAMILY} {NUMBER}"}],
            [question, {"name": "text", "valueString": f"{GIVEN} {FAMILY} {NUMBER} {TEXT}"}],
        ):
            body = {"resourceType": "Parameters", "parameter": said}
            for who in ("stranger", "hospital"):
                self.ask("POST", f"{task}/$message", who, json=body, headers=headers)
        for query in ("", f"?_count={FAMILY}", f"?_cursor={FAMILY}", f"?{FAMILY}={NUMBER}"):
            self.ask("GET", f"{task}/$messages{query}")
        for who in ("stranger", "hospital"):
            self.ask("GET", f"/worklists/teams/{team}", who)

    def be_written_about(self) -> None:
        """Send valid and invalid BaRS messages about her, and search for them."""
        said = message("REFREQ03", NUMBER, new_service(self.services, "RX001"))
        one(said, "MessageHeader").pop("sender")
        one(said, "Patient")["name"] = her()["name"]
        one(said, "CarePlan")["description"] = TEXT
        changed: list[dict[str, Any]] = [
            {},
            {"id": FAMILY},
            {"meta": {**said["meta"], "versionId": FAMILY}},
            {"meta": {**said["meta"], "profile": [f"https://example.org/{FAMILY}"]}},
            {"entry": [*said["entry"], {"fullUrl": FAMILY, "resource": her()}]},
            {"entry": [{**each, "fullUrl": f"{each['fullUrl']}{FAMILY}"} for each in said["entry"]]},
            {"entry": said["entry"][1:]},
            {"type": "collection"},
        ]
        for each in changed:
            for headers in ({}, {"NHSD-Target-Identifier": encoded({"value": FAMILY, "system": TEXT})}):
                sent = {**SENT, **headers, "X-Request-Id": str(uuid.uuid4())}
                self.ask("POST", "/$process-message", json=said | each, headers=sent)
        self.ask("POST", "/$process-message", json=said, headers={**SENT, "X-Request-Id": FAMILY})
        for kind in ("ServiceRequest", "Appointment"):
            for whom in (f"{NHS_NUMBER_SYSTEM}|{NUMBER}", FAMILY, NO_NUMBER):
                self.ask("GET", f"/{kind}?patient:identifier={whom}")
            self.ask("GET", f"/{kind}?{FAMILY}={NUMBER}")
            self.ask("GET", f"/{kind}/{FAMILY}")
        self.ask("GET", f"/Slot?Schedule.actor:HealthcareService={FAMILY}&start={FAMILY}&status={FAMILY}")

    def be_referred(self) -> None:
        """Refer her from team to team, by allowed and other callers, with her data in every element that takes text."""
        team, other = new_team(self.services, "RX001"), new_team(self.services, "RX001")
        for wrong in (
            {"subject": {"reference": f"Patient/{NO_NUMBER}", "display": FAMILY}},
            {"subject": {"reference": f"Patient/{FAMILY}"}},
            {"performer": [{"reference": f"HealthcareService/{FAMILY}"}]},
            {"performer": [{"reference": f"Practitioner/{FAMILY}", "display": TEXT}]},
            {"requester": {"identifier": {"value": FAMILY}, "display": TEXT}},
            {"status": FAMILY},
            {"priority": TEXT},
            {"occurrenceDateTime": TEXT},
            {f"{FAMILY} {GIVEN}": TEXT},
        ):
            self.ask("POST", "/fhir/ServiceRequest", json=service_request(NUMBER, team, **wrong), headers=SENT)
        said = service_request(NUMBER, team, code={"text": TEXT}, note=[{"text": f"{GIVEN} {FAMILY}"}])
        key = {"Idempotency-Key": uuid.uuid4().hex}
        sent = self.ask("POST", "/fhir/ServiceRequest", json=said, headers={**SENT, **key})
        self.ask("POST", "/fhir/ServiceRequest", json={**said, "note": [{"text": TEXT}]}, headers={**SENT, **key})
        task, tag = f"/fhir/Task/{task_of(sent)}", sent.headers["ETag"]
        reason = {"name": "reason", "valueCodeableConcept": {"coding": [{"code": FAMILY}], "text": TEXT}}
        for wrong_said in (
            [],
            [{"name": "reason", "valueString": " "}],
            [{"name": FAMILY, "valueString": TEXT}],
            [reason, {"name": "businessStatus", "valueCode": FAMILY}],
            [reason, {"name": "until", "valueInstant": TEXT}],
            [reason, {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{FAMILY}"}}],
            [reason, {"name": "output", "valueInteger": 1}],
        ):
            body = {"resourceType": "Parameters", "parameter": wrong_said}
            for action in ("reject", "redirect", "complete", "hold", FAMILY):
                for who in ("practice", "hospital", "stranger"):
                    self.ask("POST", f"{task}/${action}", who, json=body, headers={**SENT, "If-Match": tag})
        for known in (f'W/"{FAMILY}"', f'W/"{uuid.uuid4()}"', ""):
            self.ask("POST", f"{task}/$accept", "hospital", headers={**SENT, "If-Match": known})
        to = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{other}", "display": FAMILY}}
        outcome = {"name": "outcome", "valueString": f"{GIVEN} {TEXT}"}
        course: list[tuple[str, list[dict[str, Any]]]] = [("reject", [reason]), ("redirect", [reason, to])]
        course += [("accept", []), ("start", []), ("complete", [outcome])]
        for action, parameters in course:
            who = "practice" if action == "redirect" else "hospital"
            body = {"resourceType": "Parameters", **({"parameter": parameters} if parameters else {})}
            done = self.ask("POST", f"{task}/${action}", who, json=body, headers={**SENT, "If-Match": tag})
            assert done.status_code == 200, done.text
            task, tag = f"/fhir/Task/{done.json()['id']}", done.headers["ETag"]
        for each in self._clients:
            for url in (task, f"/fhir/ServiceRequest/{sent.json()['id']}", f"/fhir/Task/{FAMILY}"):
                self.ask("GET", url, each, headers={"X-Correlation-Id": CORRELATION})

    def have_it_parked(self) -> None:
        """Cause parked messages: an idempotency key that is older than intake keeps it, and another writer."""
        self.put(problem("quill-k"), **{"Idempotency-Key": "quill-key"})
        self.services.restart("serve")
        with psycopg.connect(self.services.postgres) as connection:
            connection.execute("delete from intake.idempotency_key where key = 'quill-key'")
        told = self.put(problem("quill-k", recordedDate="2026-01-01"), **{"Idempotency-Key": "quill-key", **WAIT})
        assert told.status_code == 422, told.text

        with closing(KafkaConsumer(bootstrap_servers=self.services.kafka)) as consumer:
            said = next(
                message.value for message in _messages(consumer, RECORD_TOPIC) if GIVEN.encode() in message.value
            )
        with closing(KafkaProducer(bootstrap_servers=self.services.kafka)) as producer:
            written = [
                producer.send(RECORD_TOPIC, value, b"nobody").get(timeout=30)
                for value in (json.dumps(her()).encode(), said, said[:-7], b"\0\0\0\0\1" + her().__repr__().encode())
            ]
        until(lambda: all(self._is_parked(each) for each in written))

    def fail(self) -> None:
        """Send requests while Kafka is down, and while PostgreSQL is down."""
        with _away(self.stack.kill_kafka, self.stack.start_kafka, self.services):
            assert self.put(problem("quill-a")).status_code == 503
            assert self.ask("GET", f"/fhir/Patient/{NUMBER}/$everything").status_code == 503
        before = len(self.services.log("project"))
        with _away(self.stack.kill_postgres, self.stack.start_postgres, self.services):
            assert self.put(problem("quill-a")).status_code == 200
            assert self.ask("GET", f"/fhir/Patient/{NUMBER}/$everything").status_code == 503
            until(lambda: "batch_not_written" in self.services.log("project")[before:])

    def collect(self) -> Evidence:
        """Collect logs, metrics, and the keys and headers of messages after all requests."""
        home = self.services.home
        self.evidence.logs = {path.stem: path.read_text(errors="replace") for path in (home / "logs").glob("*.log")}
        self.evidence.logs["kafka and postgres"] = self.stack.log()
        for name in ("serve", "project"):
            self.evidence.metrics[name] = httpx.get(f"{self.services.stack.health[name]}/metrics", trust_env=False).text
        with closing(KafkaConsumer(bootstrap_servers=self.services.kafka)) as consumer:
            for topic in topics():
                found = _messages(consumer, topic)
                self.evidence.keys[topic] = [_outside(message) for message in found]
        return self.evidence

    def _is_parked(self, written: Any) -> bool:
        place = [written.topic, written.partition, written.offset]
        query = 'select from record.parked where topic = %s and partition = %s and "offset" = %s'
        with psycopg.connect(self.services.postgres) as connection:
            return connection.execute(query, place).rowcount == 1


def _outside(message: Any) -> str:
    """Return the key and headers of a message, without its value."""
    headers = [f"{name}={value.decode(errors='replace')}" for name, value in message.headers]
    return " ".join([(message.key or b"").decode(errors="replace"), *headers])


def _messages(consumer: KafkaConsumer, topic: str) -> list[Any]:
    """Return all messages that a topic holds now."""
    places = [TopicPartition(topic, number) for number in range(topics()[topic].partitions)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends, found = consumer.end_offsets(places), list[Any]()
    while any(consumer.position(place) < ends[place] for place in places):
        for messages in consumer.poll(timeout_ms=1000).values():
            found += messages
    return found


@contextmanager
def _away(kill: Callable[[], None], start: Callable[[], None], services: Services) -> Iterator[None]:
    kill()
    try:
        yield
    finally:
        start()
        urls = [f"{services.stack.health[name]}/health/ready" for name in ("serve", "project")]
        until(lambda: all(well(url) for url in urls))


@pytest.fixture(scope="module")
def evidence(stack: Stack, services: Services) -> Iterator[Evidence]:
    """The evidence about a person: published, read, refused, parked, and read while the record was unavailable."""
    with closing(Deeds(stack, services)) as deeds:
        address = deeds.publish()
        deeds.read(address)
        deeds.be_refused(address)
        deeds.be_talked_about()
        if DATA.is_dir():
            deeds.be_written_about()

        deeds.be_referred()
        deeds.have_it_parked()
        deeds.fail()
        yield deeds.collect()


@pytest.mark.parametrize(
    "secret", SECRETS, ids=["number", "other number", "number with a wrong digit", "family", "given", "text"]
)
def test_the_guard_finds_a_planted_secret_in_every_form(secret: str) -> None:
    planted = [f'{{"event": "x", "a": "1{form}2"}}' for form in forms(secret)]
    planted += [base64.b64encode(f"{'y' * shift} {secret} and more".encode()).decode() for shift in range(3)]
    planted += [secret.upper(), str({"said": secret}), str(secret.encode()), json.dumps([secret])]

    # The check may also report a number that is nearly the same.
    assert [text for text in planted if secret not in leaks(text)] == []


def test_the_guard_finds_nothing_in_what_is_no_secret() -> None:
    innocent = [
        str(uuid.uuid4()),
        "2026-11-24T10:00:00.123456Z",
        "care.record/3/1234567890",
        new_nhs_number(),
        "Okafor",
    ]

    assert leaks(" ".join(innocent)) == set()


def test_nothing_of_a_person_is_in_a_log(evidence: Evidence) -> None:
    # The logs have lines of these requests, and the caller's correlation id: the test reads the right logs.
    assert set(PROCESSES) < set(evidence.logs)
    lines = [line for name in ("serve", "project") for line in evidence.logs[name].splitlines()]
    happened = {json.loads(line)["event"] for line in lines}
    assert happened >= {"request", "published", "publish_outcome_unknown", "parked", "batch_not_written"}
    assert leaks(evidence.logs["serve"], [CORRELATION]) == {CORRELATION}
    assert "database system was interrupted" in evidence.logs["kafka and postgres"]

    assert {name: leaks(log) for name, log in evidence.logs.items()} == {name: set() for name in evidence.logs}


def test_nothing_of_a_person_is_in_a_metric(evidence: Evidence) -> None:
    assert "$everything" in evidence.metrics["serve"]
    assert "onestory" in evidence.metrics["project"]

    assert [leaks(metrics) for metrics in evidence.metrics.values()] == [set(), set()]


def test_nothing_of_a_person_can_be_seen_of_a_message_without_opening_it(evidence: Evidence) -> None:
    for topic in ("care.record", "care.access"):
        assert any(key.startswith(evidence.person_key) for key in evidence.keys[topic])
    assert evidence.keys["care.parked"]

    assert {topic: leaks("\n".join(keys)) for topic, keys in evidence.keys.items()} == {
        name: set() for name in topics()
    }


def test_an_error_repeats_nothing_of_what_was_sent_or_asked(evidence: Evidence) -> None:
    statuses = {answer.status_code for answer in evidence.errors()}
    assert statuses >= {200, 400, 401, 403, 404, 405, 406, 410, 412, 413, 415, 422, 503}
    assert 500 not in statuses

    found = [(answer.request.url.raw_path, _told(answer)) for answer in evidence.errors() if leaks(_told(answer))]
    assert found == []


def _told(answer: httpx.Response) -> str:
    """Return body and headers of an answer. For a search with matches, return the warnings in place of the body.

    A caller who knows an earlier version of a referral gets the current one: this is a read, with its access event.
    """
    told = answer.json()
    told.pop("contained", None)
    if told["resourceType"] == "Bundle" and told["type"] == "searchset":
        told = [entry["resource"] for entry in told["entry"] if entry["resource"]["resourceType"] == "OperationOutcome"]
    return json.dumps(told, ensure_ascii=False) + str(dict(answer.headers))
