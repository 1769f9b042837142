"""A worklist sends each change as a Server-Sent Event, over real Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from kafka import KafkaConsumer, TopicPartition
from tests.event_stream import ACCEPT, following
from tests.people import new_nhs_number
from tests.referrals import REASON, act, end_role, new_role, new_team, refer, service_request, task_of
from tests.stack import Services, Stack

from onestory.local import processes, state, up
from onestory.shared.events import AccessRecorded
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import ACCESS_TOPIC, topics


def send(surgery: httpx.Client, team: str, priority: str = "urgent") -> httpx.Response:
    sent = refer(surgery, service_request(new_nhs_number(), team, priority=priority))
    assert sent.status_code == 201, sent.text
    return sent


def events_of(team: str) -> str:
    return f"/worklists/teams/{team}/events"


def of(sent: httpx.Response) -> Callable[[dict[str, Any]], bool]:
    """Return a check whether an event belongs to this referral."""
    return lambda data: bool(data["referral"] == sent.json()["id"])


def test_what_is_sent_to_the_team_comes_to_its_open_list_as_the_row_that_a_page_has(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    with following(nurses, events_of(team)) as stream:
        sent = send(surgery, team)
        row = stream.await_event("changed")
        accepted = act(nurses, task_of(sent), "accept", sent.headers["ETag"])
        after = stream.await_event("changed", lambda each: each["status"] == "accepted")

    (listed,) = nurses.get(f"/worklists/teams/{team}").json()["rows"]
    assert row["referral"] == sent.json()["id"]
    assert after["version"] == accepted.headers["ETag"]
    assert after == listed


def test_what_leaves_the_list_is_told_with_why(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    physio, rejected, passed = new_team(services, "RY2"), send(surgery, team), send(surgery, team)
    to = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{physio}"}}

    with following(nurses, events_of(team)) as stream:
        act(nurses, task_of(rejected), "reject", rejected.headers["ETag"], REASON)
        first = stream.await_event("gone")
        act(nurses, task_of(passed), "redirect", passed.headers["ETag"], REASON, to)
        second = stream.await_event("gone", of(passed))

    assert first == {"referral": rejected.json()["id"], "reason": "rejected"}
    assert second == {"referral": passed.json()["id"], "reason": "elsewhere"}


def test_a_list_of_some_is_told_of_what_fits_it_no_longer(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    with following(nurses, events_of(team), status="requested", priority="stat") as stream:
        send(surgery, team, "routine")
        sent = send(surgery, team, "stat")
        stream.await_event("changed")
        act(nurses, task_of(sent), "receive", sent.headers["ETag"])
        gone = stream.await_event("gone", of(sent))

    assert gone["reason"] == "filtered"
    assert {row["referral"] for row in stream.named("changed")} == {sent.json()["id"]}


def test_the_requester_hears_what_becomes_of_what_it_sent(services: Services, nurses: httpx.Client, team: str) -> None:
    ods = f"S{uuid.uuid4().hex[:6].upper()}"
    with services.client(ods) as practice, following(practice, f"/worklists/organisations/{ods}/events") as stream:
        sent = send(practice, team)
        act(nurses, task_of(sent), "reject", sent.headers["ETag"], REASON)
        row = stream.await_event("changed", lambda each: each["status"] == "rejected")
        with services.client(ods) as again:
            act(again, task_of(sent), "cancel", row["version"], REASON)
        gone = stream.await_event("gone")

    assert row["yourTurn"] is True
    assert gone == {"referral": sent.json()["id"], "reason": "rejected"}


def test_one_who_works_in_several_teams_hears_of_all_of_them_and_of_no_other(
    services: Services, surgery: httpx.Client
) -> None:
    user, ods = f"user-{uuid.uuid4().hex[:12]}", f"R{uuid.uuid4().hex[:6].upper()}"
    teams = [new_team(services, ods) for _ in range(3)]
    for team in teams[:2]:
        new_role(services, team, ods, user)

    with services.client(ods, sub=user) as nurse, following(nurse, "/worklists/mine/events") as stream:
        sent = [send(surgery, team) for team in (teams[2], teams[0], teams[1])]
        for each in sent[1:]:
            stream.await_event("changed", of(each))

    assert sent[0].json()["id"] not in str([each.data for each in stream.events])


def test_who_is_on_a_row_that_is_sent_has_a_trace_by_then(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    with closing(KafkaConsumer(bootstrap_servers=services.kafka)) as consumer:
        places = [TopicPartition(ACCESS_TOPIC, number) for number in range(topics()[ACCESS_TOPIC].partitions)]
        consumer.assign(places)
        began = consumer.end_offsets(places)
        with following(nurses, events_of(team)) as stream:
            sent = send(surgery, team)
            stream.await_event("changed")
            ends = consumer.end_offsets(places)

        traces = list[AccessRecorded]()
        for place in places:
            consumer.seek(place, began[place])
        while any(consumer.position(place) < ends[place] for place in places):
            for messages in consumer.poll(timeout_ms=1000).values():
                found = [create_codec().decode(message.value) for message in messages]
                traces += [each for each in found if isinstance(each, AccessRecorded)]

    person_key = sent.json()["id"].partition("-")[0]
    assert ("worklist", "RZ1", "referral-party") in {
        (each.interaction, each.organisation, each.reason) for each in traces if each.person_key == person_key
    }


def test_whoever_lost_the_connection_goes_on_without_a_gap(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    with following(nurses, events_of(team)) as stream:
        before = send(surgery, team)
        stream.await_event("changed")
    missed = [send(surgery, team) for _ in range(3)]

    with following(nurses, events_of(team), stream.last_id) as again:
        for each in missed:
            again.await_event("changed", of(each))

    assert again.named("reset") == []
    known = {row["referral"] for row in again.named("changed")}
    assert known - {before.json()["id"]} == {each.json()["id"] for each in missed}


@pytest.mark.parametrize("last_id", ["nobody-knows", "0.0", ".".join(["zzzzzzzz"] * 12)])
def test_whoever_comes_from_a_place_that_is_not_known_reads_the_list_anew(
    nurses: httpx.Client, team: str, last_id: str
) -> None:
    with following(nurses, events_of(team), last_id) as stream:
        stream.await_event("reset")


def test_the_list_closes_when_the_role_ends(services: Services, surgery: httpx.Client) -> None:
    user, ods = f"user-{uuid.uuid4().hex[:12]}", f"Q{uuid.uuid4().hex[:6].upper()}"
    team = new_team(services, ods)
    role = new_role(services, team, ods, user)

    with services.client(ods, sub=user) as nurse, following(nurse, events_of(team)) as stream:
        end_role(services, role, datetime.now(UTC) - timedelta(days=1))
        sent = send(surgery, team)
        closed = stream.await_event("closed")
        stream.await_end()

    assert closed["reason"] == "not-permitted"
    assert "ended on" in closed["diagnostics"]
    assert sent.json()["id"] not in str([each.data for each in stream.events])


def test_the_list_closes_when_the_role_ends_though_nothing_happens(services: Services) -> None:
    user, ods = f"user-{uuid.uuid4().hex[:12]}", f"P{uuid.uuid4().hex[:6].upper()}"
    team = new_team(services, ods)
    role = new_role(services, team, ods, user)

    with services.client(ods, sub=user) as nurse, following(nurse, events_of(team)) as stream:
        end_role(services, role, datetime.now(UTC) - timedelta(days=1))

        assert stream.await_event("closed")["reason"] == "not-permitted"


def test_the_list_closes_when_the_token_expires(services: Services, team: str) -> None:
    with services.client("RZ1", lifetime="3") as nurses, following(nurses, events_of(team)) as stream:
        closed = stream.await_event("closed")
        stream.await_end()

    assert closed["reason"] == "token-expired"


def test_strangers_and_misspelt_questions_are_refused_before_anything_streams(
    services: Services, nurses: httpx.Client, team: str
) -> None:
    with services.client("RZ9", network="elsewhere") as stranger:
        refused = stranger.get(events_of(team), headers=ACCEPT)
        absent = stranger.get(events_of("a" * 26), headers=ACCEPT)
    misspelt = nurses.get(events_of(team), params={"stat": "x"}, headers=ACCEPT)

    assert (refused.status_code, misspelt.status_code) == (404, 400)
    assert refused.json() == absent.json()


@contextmanager
def another_replica(services: Services) -> Iterator[Services]:
    """A second process of `serve` on the same Kafka and PostgreSQL."""
    port = state.free_port(set())
    at = f"http://127.0.0.1:{port}"
    told = {**up.process_environment("serve", services.home, services.stack), "ONESTORY_PORT": str(port)}
    processes.start(services.home, "serve-2", [*up.onestory_command(), "serve"], environment=told)
    try:
        processes.await_ready(services.home, "serve-2", lambda: up.answers_200(f"{at}/health/ready"), 60)
        yield Services(services.home, replace(services.stack, base_url=at))
    finally:
        processes.stop(services.home, ["serve-2"])


def test_every_replica_tells_of_every_change_and_one_goes_on_where_another_was(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    with another_replica(services) as other, other.client("RZ1") as elsewhere:
        with following(nurses, events_of(team)) as here, following(elsewhere, events_of(team)) as there:
            sent = send(surgery, team)
            rows: list[dict[str, Any]] = [each.await_event("changed") for each in (here, there)]
        missed = send(surgery, team)

        with following(elsewhere, events_of(team), here.last_id) as moved:
            moved.await_event("changed", of(missed))
            # A process that has just started knows the changes from before its start.
            assert moved.named("reset") == []
            processes.stop(services.home, ["serve-2"])
            moved.await_end()

    assert rows[0] == rows[1]
    assert rows[0]["referral"] == sent.json()["id"]
    assert "Traceback" not in services.log("serve-2")


def test_an_open_list_survives_a_broker_that_goes_away_and_comes_back(
    services: Services, stack: Stack, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    with following(nurses, events_of(team)) as stream:
        first = send(surgery, team)
        stream.await_event("changed")
        stack.kill_kafka()
        # This change happens while the broker is down.
        second = send(surgery, team)
        stream.await_event("late", lambda data: bool(data["seconds"] >= 10))
        stack.start_kafka()

        stream.await_event("changed", of(second))
        stream.await_event("late", lambda data: bool(data["seconds"] == 0))

    assert {row["referral"] for row in stream.named("changed")} == {each.json()["id"] for each in (first, second)}
