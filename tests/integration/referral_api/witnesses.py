"""Checks of a referral outside its API: the service's tables, `care.referral`, and the person's record."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from itertools import pairwise
from typing import Any, Self

import httpx
import psycopg
from kafka import KafkaConsumer, TopicPartition
from psycopg.rows import dict_row
from tests.integration.referral_api.model import Expected, Party
from tests.stack import Services

from onestory.shared import events as shared_events
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import REFERRAL_TOPIC, topics

VERSION = "https://onestory.nhs.uk/StructureDefinition/referral-version"
HOLDER = "https://onestory.nhs.uk/StructureDefinition/referral-holder"
NEXT_ACTOR = "https://onestory.nhs.uk/StructureDefinition/referral-next-actor"
_PATIENCE_S = 90.0


class Topic:
    """Reads `care.referral` from now on: every event, in the order of its partition."""

    def __init__(self, bootstrap: str) -> None:
        self._codec = create_codec("")
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap)
        places = [TopicPartition(REFERRAL_TOPIC, number) for number in range(topics()[REFERRAL_TOPIC].partitions)]
        self._consumer.assign(places)
        self._consumer.seek_to_end(*places)
        for place in places:
            self._consumer.position(place)
        self.events: dict[str, list[shared_events.ReferralChanged]] = defaultdict(list)
        """By NHS number, in the order of the topic. An event that came twice is listed twice."""

    def read(self) -> None:
        """Read the events that have come."""
        for messages in self._consumer.poll(timeout_ms=100).values():
            for message in messages:
                event = self._codec.decode(message.value)
                assert isinstance(event, shared_events.ReferralChanged)
                self.events[event.person.value].append(event)

    def of(self, number: str, referral_id: str) -> list[shared_events.ReferralChanged]:
        """The events of one referral."""
        return [each for each in self.events[number] if each.referral_id == referral_id]

    def await_all(self, referrals: Collection[Expected]) -> None:
        """Read until the last version of each referral has come."""
        _until(self.read, lambda: [each for each in referrals if not self._has_last(each)])

    def _has_last(self, referral: Expected) -> bool:
        return any(each.version >= referral.version for each in self.of(referral.person, referral.referral_id))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()


def disagreeing_events(topic: Topic, referral: Expected) -> list[str]:
    """Return the differences between the events of a referral and the model."""
    told = topic.of(referral.person, referral.referral_id)
    wrong = []
    if (versions := [each.version for each in told]) != list(range(1, referral.version + 1)):
        wrong.append(f"versions {versions}, not 1 to {referral.version}")
    for each in told:
        parts = (each.holder is None, each.next_actor is None, each.due_at is None)
        if set(parts) != {not each.is_open}:
            wrong.append(f"version {each.version}, open: {each.is_open}, names {each.holder}, {each.next_actor}")
    last = told[-1]
    said = (f'W/"{last.event_id}"', last.task_id, last.status, last.is_open, _party(last.holder))
    if (said, _party(last.next_actor)) != (
        (referral.tag, referral.task_id, referral.status, referral.is_open, referral.holder),
        referral.next_actor,
    ):
        wrong.append(f"the last says {said} {last.next_actor}")
    return wrong


def disordered(topic: Topic, number: str) -> list[str]:
    """Return the events of a person that are on the topic before an event they followed."""
    times = [each.occurred_at for each in topic.events[number]]
    return [f"{after} after {before}" for before, after in pairwise(times) if after < before]


def disagreeing_rows(services: Services, referral: Expected) -> list[str]:
    """Return the differences between the service's tables and the model."""
    with psycopg.connect(services.postgres, row_factory=dict_row) as connection:
        key = {"id": referral.referral_id}
        rows = connection.execute("select * from referral.referral where referral_id = %(id)s", key).fetchall()
        changes = connection.execute(
            "select version, event_id from referral.change where referral_id = %(id)s order by version", key
        ).fetchall()
    wrong = []
    if [each["version"] for each in changes] != list(range(1, referral.version + 1)):
        wrong.append(f"changes {[each['version'] for each in changes]}, not 1 to {referral.version}")
    if len({each["event_id"] for each in changes}) != referral.version:
        wrong.append("two changes under one event id")
    (row,) = rows
    found = (row["status"], row["is_open"], _pair(row, "holder"), _pair(row, "next"), row["due_at"] is not None)
    if found != (referral.status, referral.is_open, referral.holder, referral.next_actor, referral.is_open):
        wrong.append(f"the row says {found}")
    return wrong


class Record:
    """The record, as a caller in the person's network reads it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def await_all(self, referrals: Collection[Expected]) -> None:
        """Return once the last version of each referral shows."""

        def behind() -> list[str]:
            people = {each.person for each in referrals}
            shown = {tag for person in people for tag in map(_tag, self.entries("Task", person).values())}
            return [each.referral_id for each in referrals if each.tag not in shown]

        _until(lambda: time.sleep(0.2), behind)

    def entries(self, kind: str, number: str) -> dict[str, dict[str, Any]]:
        """Return a person's resources of one type, by id. Fails when a resource comes twice."""
        found: dict[str, dict[str, Any]] = {}
        url: str | None = f"/fhir/{kind}?patient={number}&_count=200"
        while url:
            page = self._client.get(url)
            assert page.status_code == 200, page.text
            for entry in page.json().get("entry", ()):
                resource = entry["resource"]
                assert resource["id"] not in found
                found[resource["id"]] = resource
            url = next((link["url"] for link in page.json()["link"] if link["relation"] == "next"), None)
        return found


def disagreeing_record(record: Record, number: str, referrals: Collection[Expected]) -> list[str]:
    """Return the differences between a person's record and the model. `referrals` are all referrals of the person."""
    requests, tasks = record.entries("ServiceRequest", number), record.entries("Task", number)
    known = {each.referral_id: each.request_status for each in referrals}
    wrong = [
        f"ServiceRequest/{each}: {requests.get(each, {}).get('status')}, not {known.get(each)}"
        for each in known.keys() | requests.keys()
        if requests.get(each, {}).get("status") != known.get(each)
    ]
    if tasks.keys() != {task for each in referrals for task in (each.task_id, *each.former)}:
        wrong.append(f"{len(tasks)} Tasks, and others than there are")
    for each in referrals:
        wrong += disagreeing_task(each, tasks.get(each.task_id, {}))
        wrong += [f"former Task/{task} names a holder" for task in each.former if HOLDER in str(tasks.get(task))]
    return wrong


def disagreeing_task(referral: Expected, task: dict[str, Any]) -> list[str]:
    """Return the differences between the current Task, from any source, and the model."""
    said = {each["url"]: each for each in task.get("extension", ())}
    found = {
        "tag": _tag(task),
        "status": task.get("status"),
        "version": said.get(VERSION, {}).get("valueInteger"),
        "owner": task.get("owner", {}).get("reference"),
        "holder": said.get(HOLDER, {}).get("valueReference"),
        "next": said.get(NEXT_ACTOR, {}).get("valueReference"),
        "has a time": "restriction" in task,
    }
    due = {
        "tag": referral.tag,
        "status": referral.status,
        "version": referral.version,
        "owner": f"HealthcareService/{referral.recipient[1]}",
        "holder": _reference(referral.holder),
        "next": _reference(referral.next_actor),
        "has a time": referral.is_open,
    }
    return [
        f"Task/{referral.task_id}, {name}: {found[name]}, not {due[name]}" for name in due if found[name] != due[name]
    ]


def _tag(resource: dict[str, Any]) -> str:
    return f'W/"{resource.get("meta", {}).get("versionId")}"'


def _reference(party: Party | None) -> dict[str, Any] | None:
    if party is None:
        return None
    if party[1]:
        return {"reference": f"HealthcareService/{party[1]}", "type": "HealthcareService"}
    system = "https://fhir.nhs.uk/Id/ods-organization-code"
    return {"type": "Organization", "identifier": {"system": system, "value": party[0]}}


def _party(party: shared_events.Party | None) -> Party | None:
    return None if party is None else (party.organisation, party.team)


def _pair(row: dict[str, Any], side: str) -> Party | None:
    return None if row[f"{side}_organisation"] is None else (row[f"{side}_organisation"], row[f"{side}_team"])


def _until(turn: Callable[[], None], missing: Callable[[], Collection[object]]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while left := missing():
        assert time.monotonic() < deadline, f"{len(left)} did not come: {list(left)[:3]}"
        turn()
