"""Worklists show the open referrals of a team, an organisation or a user, over HTTP on real PostgreSQL and Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from kafka import KafkaConsumer, TopicPartition
from tests.people import new_nhs_number
from tests.referrals import REASON, act, end_role, new_role, new_team, refer, service_request, task_of
from tests.stack import Services

from onestory.shared.events import AccessRecorded
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import ACCESS_TOPIC, topics

ODS = "https://fhir.nhs.uk/Id/ods-organization-code"


def send(surgery: httpx.Client, team: str, priority: str = "urgent", **elements: Any) -> httpx.Response:
    """Send a new referral of a new person."""
    sent = refer(surgery, service_request(new_nhs_number(), team, priority=priority, **elements))
    assert sent.status_code == 201, sent.text
    return sent


def listed(client: httpx.Client, address: str, **asked: str | int) -> dict[str, Any]:
    answer = client.get(f"/worklists/{address}", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def referrals(page: dict[str, Any]) -> list[str]:
    return [row["referral"] for row in page["rows"]]


def overdue(services: Services, sent: httpx.Response, by: timedelta = timedelta(hours=1)) -> None:
    """Set the due time of the referral to `by` before now."""
    with psycopg.connect(services.postgres) as connection:
        connection.execute(
            "update referral.referral set due_at = now() - %s where referral_id = %s", [by, sent.json()["id"]]
        )


def new_user() -> str:
    return f"user-{uuid.uuid4().hex[:12]}"


def test_a_row_tells_what_it_takes_to_choose_it(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    sent = send(surgery, team, "asap")

    (row,) = listed(nurses, f"teams/{team}")["rows"]

    assert (row["referral"], row["task"]) == (sent.json()["id"], task_of(sent))
    assert row["version"] == sent.headers["ETag"]
    assert row["person"]["value"] == sent.json()["subject"]["identifier"]["value"]
    assert (row["kind"], row["priority"], row["status"]) == ("referral", "asap", "requested")
    assert (row["code"], row["reason"]) == ("District nursing assessment", "Leg ulcer")
    assert (row["holder"]["organisation"], row["nextActor"]["team"]) == ("A81001", team)
    assert row["recipient"]["teamName"].startswith("Team ")
    assert row["yourTurn"] is True
    assert (row["breached"], row["claimedBy"], row["escalatedAt"]) == (False, None, None)
    assert datetime.fromisoformat(row["dueAt"]) > datetime.now(UTC)


def test_what_is_more_urgent_comes_first_and_what_is_overdue_comes_first_of_its_kind(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = {name: send(surgery, team, name) for name in ("routine", "urgent", "asap", "stat")}
    late = send(surgery, team, "urgent")
    overdue(services, late)

    page = listed(nurses, f"teams/{team}")

    order = [sent["stat"], sent["asap"], late, sent["urgent"], sent["routine"]]
    assert referrals(page) == [each.json()["id"] for each in order]
    assert [row["breached"] for row in page["rows"]] == [False, False, True, False, False]


def test_lists_come_in_the_order_that_is_asked_for(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    first, second, third = (send(surgery, team, name) for name in ("routine", "stat", "urgent"))
    act(nurses, task_of(first), "receive", first.headers["ETag"])
    ids = {name: each.json()["id"] for name, each in (("first", first), ("second", second), ("third", third))}

    assert referrals(listed(nurses, f"teams/{team}", sort="due")) == [ids["second"], ids["third"], ids["first"]]
    assert referrals(listed(nurses, f"teams/{team}", sort="sent")) == [ids["first"], ids["second"], ids["third"]]
    assert referrals(listed(nurses, f"teams/{team}", sort="changed")) == [ids["first"], ids["third"], ids["second"]]


def test_counts_are_of_the_whole_filtered_list_whatever_the_page(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = [send(surgery, team, name) for name in ("routine", "routine", "urgent", "stat")]
    act(nurses, task_of(sent[0]), "accept", sent[0].headers["ETag"])
    overdue(services, sent[3])

    page = listed(nurses, f"teams/{team}", count=1)
    routine = listed(nurses, f"teams/{team}", count=1, priority="routine")

    assert page["counts"] == {
        "total": 4,
        "breached": 1,
        "unclaimed": 4,
        "byStatus": {"requested": 3, "accepted": 1},
        "byPriority": {"stat": 1, "urgent": 1, "routine": 2},
    }
    assert (len(page["rows"]), routine["counts"]["total"], routine["counts"]["breached"]) == (1, 2, 0)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"status": "accepted"}, ["accepted"]),
        ({"status": "requested,accepted", "priority": "urgent"}, ["accepted", "late"]),
        ({"priority": "stat"}, ["stat"]),
        ({"kind": "advice"}, ["advice"]),
        ({"breached": "true"}, ["late"]),
        ({"breached": "false", "kind": "referral"}, ["accepted", "stat"]),
        ({"claimed": "anybody"}, []),
        ({"requester": "a81001", "breached": "true"}, ["late"]),
        ({"requester": "Z99999"}, []),
    ],
)
def test_a_list_shows_what_is_asked_for(
    services: Services,
    surgery: httpx.Client,
    nurses: httpx.Client,
    team: str,
    asked: dict[str, str],
    expected: list[str],
) -> None:
    advice = [{"coding": [{"system": "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars", "code": "a8t1"}]}]
    sent = {
        "accepted": send(surgery, team, "urgent"),
        "stat": send(surgery, team, "stat"),
        "late": send(surgery, team, "urgent"),
        "advice": send(surgery, team, "routine", category=advice),
    }
    act(nurses, task_of(sent["accepted"]), "accept", sent["accepted"].headers["ETag"])
    overdue(services, sent["late"])

    page = listed(nurses, f"teams/{team}", **asked)

    assert sorted(referrals(page)) == sorted(sent[name].json()["id"] for name in expected)
    assert page["counts"]["total"] == len(expected)


@pytest.mark.parametrize(
    "asked",
    [
        "sta=stat",
        "status=opened",
        "status=requested&status=accepted",
        "breached=yes",
        "count=0",
        "count=201",
        "sort=name",
        "next=them",
        "claimed=all",
        "cursor=bm8",
        "requester=a-b",
        "_owner=x",
    ],
)
def test_what_a_list_does_not_know_is_refused(nurses: httpx.Client, team: str, asked: str) -> None:
    refused = nurses.get(f"/worklists/teams/{team}?{asked}")

    assert refused.status_code == 400, refused.text


def test_pages_bring_every_row_once(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    sent = [send(surgery, team, name).json()["id"] for name in ("routine", "stat", "urgent", "routine", "asap")]

    for sort in ("urgency", "due", "sent", "changed"):
        rows = list(rows_of(nurses, listed(nurses, f"teams/{team}", count=2, sort=sort)))

        assert sorted(row["referral"] for row in rows) == sorted(sent), sort
        assert rows == listed(nurses, f"teams/{team}", sort=sort)["rows"]


def rows_of(client: httpx.Client, page: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the rows of this page and of all following pages."""
    yield from page["rows"]
    while page["next"]:
        page = client.get(page["next"]).raise_for_status().json()
        yield from page["rows"]


def test_what_changes_between_two_pages_is_neither_lost_nor_shown_twice_as_it_was(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = [send(surgery, team) for _ in range(6)]
    first = listed(nurses, f"teams/{team}", count=2)
    unseen = [each for each in sent if each.json()["id"] not in referrals(first)]

    # One unseen row moves to the front, one seen row moves back, one leaves, and one is new.
    overdue(services, unseen[3])
    seen = next(each for each in sent if each.json()["id"] == referrals(first)[0])
    act(nurses, task_of(seen), "accept", seen.headers["ETag"])
    act(nurses, task_of(unseen[0]), "reject", unseen[0].headers["ETag"], REASON)
    fresh = send(surgery, team, "stat")
    rows = list(rows_of(nurses, first))

    versions = [(row["referral"], row["version"], row["dueAt"]) for row in rows]
    assert len(versions) == len(set(versions))
    kept = [*sent, fresh]
    kept.remove(unseen[0])
    assert {row["referral"] for row in rows} == {each.json()["id"] for each in kept}
    assert [row["status"] for row in rows if row["referral"] == seen.json()["id"]] == ["requested", "accepted"]


def test_a_cursor_goes_with_its_own_question_only(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    for _ in range(2):
        send(surgery, team)
    following = listed(nurses, f"teams/{team}", count=1)["next"]

    assert nurses.get(following.replace("count=1", "count=1&priority=stat")).status_code == 400
    assert nurses.get(following).status_code == 200


def test_a_team_does_not_see_drafts_nor_what_it_has_given_back(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    refer(surgery, service_request(new_nhs_number(), team, status="draft"))
    given_back = send(surgery, team)
    act(nurses, task_of(given_back), "reject", given_back.headers["ETag"], REASON)

    assert listed(nurses, f"teams/{team}")["rows"] == []


def test_a_team_keeps_what_it_passed_on_until_the_next_one_accepts(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    physio, sent = new_team(services, "RY2"), send(surgery, team)
    accepted = act(nurses, task_of(sent), "accept", sent.headers["ETag"])
    to = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{physio}"}}
    passed = act(nurses, task_of(sent), "redirect", accepted.headers["ETag"], REASON, to)
    assert passed.status_code == 200, passed.text

    (waiting,) = listed(nurses, f"teams/{team}")["rows"]
    with services.client("RY2") as physios:
        (asked,) = listed(physios, f"teams/{physio}")["rows"]
        act(physios, asked["task"], "accept", asked["version"])

    assert (waiting["holder"]["team"], waiting["recipient"]["team"]) == (team, physio)
    assert (waiting["yourTurn"], asked["yourTurn"]) == (False, True)
    assert listed(nurses, f"teams/{team}")["rows"] == []


def test_an_organisation_sees_who_has_what_it_sent_and_what_is_back_with_it(
    services: Services, nurses: httpx.Client, team: str
) -> None:
    ods = f"X{uuid.uuid4().hex[:6].upper()}"
    with services.client(ods) as practice:
        away, back = send(practice, team), send(practice, team)
        refer(practice, service_request(new_nhs_number(), team, status="draft"))
        act(nurses, task_of(back), "reject", back.headers["ETag"], REASON)

        page = listed(practice, f"organisations/{ods.lower()}")
        turn = listed(practice, f"organisations/{ods}", next="me", status="rejected")

    at = {row["referral"]: row for row in page["rows"]}
    assert len(at) == 3
    assert at[away.json()["id"]]["nextActor"]["team"] == team
    assert at[away.json()["id"]]["yourTurn"] is False
    assert at[back.json()["id"]]["yourTurn"] is True
    assert at[back.json()["id"]]["statusReason"] == "For a test"
    assert referrals(turn) == [back.json()["id"]]


def test_a_list_is_for_who_stands_for_the_team_now(services: Services, surgery: httpx.Client) -> None:
    ods, user = f"Y{uuid.uuid4().hex[:6].upper()}", new_user()
    team, other = new_team(services, ods, "Rapid response"), new_team(services, ods)
    role = new_role(services, team, ods, user)
    send(surgery, team)

    with services.client(ods, sub=user) as nurse, services.client("RZ9", network="elsewhere") as stranger:
        mine = nurse.get(f"/worklists/teams/{team}")
        not_mine = nurse.get(f"/worklists/teams/{other}")
        existing, made_up = (stranger.get(f"/worklists/teams/{each}") for each in (team, "a" * 26))
        end_role(services, role, datetime.now(UTC) - timedelta(days=1))
        ended = nurse.get(f"/worklists/teams/{team}")

    assert (mine.status_code, len(mine.json()["rows"])) == (200, 1)
    assert (not_mine.status_code, not_mine.json()["issue"][0]["code"]) == (403, "forbidden")
    assert (existing.status_code, existing.json()) == (404, made_up.json())
    assert ended.status_code == 403
    assert "ended on" in ended.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("named", ["x", "a" * 200, "%27"])
def test_what_can_be_no_team_is_not_there(nurses: httpx.Client, named: str) -> None:
    assert nurses.get(f"/worklists/teams/{named}").status_code == 404
    assert nurses.get(f"/fhir/Task?owner=HealthcareService/{named}").status_code == 404
    assert nurses.get(f"/fhir/Task?owner:identifier={ODS}|{named}").status_code in (400, 404)


def test_another_organisations_list_is_refused_like_one_that_is_not_there(surgery: httpx.Client) -> None:
    theirs, nobodys = (surgery.get(f"/worklists/organisations/{ods}") for ods in ("RZ1", "Q0Q0Q0"))

    assert (theirs.status_code, nobodys.status_code) == (404, 404)
    assert theirs.json() == nobodys.json()


def test_a_person_sees_the_lists_of_all_teams_in_which_they_hold_a_role_in_force(
    services: Services, surgery: httpx.Client
) -> None:
    user = new_user()
    teams = [new_team(services, ods) for ods in ("RZ1", "RY2", "RZ1")]
    for team, ods in zip(teams, ("RZ1", "RY2", "RZ1"), strict=True):
        new_role(services, team, ods, user, None if team != teams[2] else datetime.now(UTC) - timedelta(days=1))
    sent = [send(surgery, team) for team in teams]

    with services.client("RZ1", sub=user) as nurse:
        page = listed(nurse, "mine")
        known = nurse.get("/worklists/teams").json()["teams"]

    assert sorted(referrals(page)) == sorted(each.json()["id"] for each in sent[:2])
    assert page["counts"]["total"] == 2
    assert {each["team"] for each in known} == set(teams[:2])


def test_teams_are_found_by_a_part_of_their_name(services: Services) -> None:
    ods = f"W{uuid.uuid4().hex[:6].upper()}"
    rapid = new_team(services, ods, "Rapid response North")
    new_team(services, ods, "Podiatry")

    with services.client(ods) as desk:
        (found,) = desk.get("/worklists/teams", params={"name": "rapid"}).json()["teams"]

    assert (found["team"], found["name"], found["organisation"]) == (rapid, "Rapid response North", ods)


def test_tasks_of_an_owner_are_a_searchset(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    sent = [send(surgery, team, name) for name in ("routine", "stat", "urgent")]

    page = nurses.get("/fhir/Task", params={"owner": f"HealthcareService/{team}", "_count": 2})

    assert page.status_code == 200, page.text
    bundle = page.json()
    assert (bundle["type"], bundle["total"]) == ("searchset", 3)
    links = {each["relation"]: each["url"] for each in bundle["link"]}
    rest = nurses.get(links["next"]).raise_for_status().json()
    found = [each["resource"]["id"] for each in (*bundle["entry"], *rest["entry"])]
    assert found == [task_of(sent[place]) for place in (1, 2, 0)]
    assert bundle["entry"][0]["resource"]["owner"]["reference"] == f"HealthcareService/{team}"


def test_tasks_are_found_by_the_organisation_that_owns_them(services: Services, surgery: httpx.Client) -> None:
    ods = f"V{uuid.uuid4().hex[:6].upper()}"
    sent = [send(surgery, new_team(services, ods)) for _ in range(2)]
    asked = {"owner:identifier": f"{ODS}|{ods}", "status": "requested"}

    with services.client(ods) as desk:
        bundle = desk.get("/fhir/Task", params=asked).raise_for_status().json()
        refused = surgery.get("/fhir/Task", params=asked)

    assert sorted(each["resource"]["id"] for each in bundle["entry"]) == sorted(map(task_of, sent))
    assert refused.status_code == 404


def test_a_search_of_tasks_without_an_owner_is_the_records_to_answer(services: Services, surgery: httpx.Client) -> None:
    number = new_nhs_number()
    services.register(number)
    with services.client("A81001", network="harbour") as practice:
        answer = practice.get("/fhir/Task", params={"patient": number})

    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "searchset"


def test_a_claim_is_shown_to_the_team_by_name_and_to_the_requester_not_at_all(
    services: Services, surgery: httpx.Client
) -> None:
    ods, users = f"U{uuid.uuid4().hex[:6].upper()}", [new_user(), new_user()]
    team = new_team(services, ods)
    for user in users:
        new_role(services, team, ods, user)
    sent = send(surgery, team)

    with services.client(ods, sub=users[0]) as nurse, services.client(ods, sub=users[1]) as colleague:
        claimed = act(nurse, task_of(sent), "claim", sent.headers["ETag"])
        assert claimed.status_code == 200, claimed.text
        again = act(colleague, task_of(sent), "claim", claimed.headers["ETag"])
        (row,) = listed(colleague, f"teams/{team}", claimed="anybody")["rows"]
        mine = [listed(each, "mine", claimed="me")["counts"]["total"] for each in (nurse, colleague)]
        released = act(colleague, task_of(sent), "release", claimed.headers["ETag"], REASON)
        (theirs,) = (
            row
            for row in listed(surgery, "organisations/A81001", sort="changed")["rows"]
            if row["task"] == task_of(sent)
        )

    assert row["claimedBy"] == {"user": users[0], "name": f"Nurse {users[0]}"}
    assert row["version"] == claimed.headers["ETag"]
    assert again.status_code == 409
    assert users[0] not in again.text + claimed.text
    assert mine == [1, 0]
    assert released.status_code == 200, released.text
    assert theirs["claimedBy"] is None


def test_a_system_finds_what_it_has_claimed_among_its_own(services: Services, surgery: httpx.Client) -> None:
    ods = f"T{uuid.uuid4().hex[:6].upper()}"
    sent = send(surgery, new_team(services, ods))

    with services.client(ods) as system:
        assert listed(system, "mine")["rows"] == []
        act(system, task_of(sent), "claim", sent.headers["ETag"]).raise_for_status()
        (row,) = listed(system, "mine")["rows"]

    assert (row["task"], row["claimedBy"]["user"], row["yourTurn"]) == (task_of(sent), ods, True)


def test_who_is_on_a_page_leaves_a_trace_each(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = [send(surgery, team) for _ in range(3)]
    correlation_id = str(uuid.uuid4())

    with closing(KafkaConsumer(bootstrap_servers=services.kafka)) as consumer:
        places = [TopicPartition(ACCESS_TOPIC, number) for number in range(topics()[ACCESS_TOPIC].partitions)]
        consumer.assign(places)
        consumer.seek_to_end(*places)
        for place in places:
            consumer.position(place)
        page = nurses.get(
            f"/worklists/teams/{team}", params={"count": 2}, headers={"X-Correlation-Id": correlation_id}
        ).json()
        # Kafka acknowledges the access events before the answer, so the topic has all of them now.
        ends = consumer.end_offsets(places)
        traces = []
        while any(consumer.position(place) < ends[place] for place in places):
            for messages in consumer.poll(timeout_ms=1000).values():
                traces += [create_codec().decode(message.value) for message in messages]

    found = [each for each in traces if isinstance(each, AccessRecorded) and each.correlation_id == correlation_id]
    assert sorted(each.person_key for each in found) == sorted(each.partition("-")[0] for each in referrals(page))
    assert {(each.interaction, each.reason, each.resource_types) for each in found} == {
        ("worklist", "referral-party", ("Task",))
    }
    assert len(sent) == page["counts"]["total"]
