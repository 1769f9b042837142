"""Late referrals are escalated with notices: over HTTP, with the clock of the referral process."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from kafka import KafkaConsumer, TopicPartition
from tests.people import new_nhs_number
from tests.referrals import REASON, act, end_role, new_role, new_team, read, refer, service_request, task_of
from tests.stack import PATIENCE_S, Services

from onestory.referral.directory.rows import ESCALATION_CONTACT
from onestory.shared.events import AccessRecorded, Event, Notice, Party, ReferralChanged
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import ACCESS_TOPIC, REFERRAL_TOPIC, topics

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
WARD_MANAGER: dict[str, Any] = {
    "extension": [
        {
            "url": ESCALATION_CONTACT,
            "valueContactDetail": {"name": "Ward manager", "telecom": [{"system": "phone", "value": "01234 567890"}]},
        }
    ]
}


@pytest.fixture
def team(services: Services) -> str:
    return new_team(services, "RZ1", **WARD_MANAGER)


def make_late(services: Services, *sent: httpx.Response) -> None:
    """Set the due time to a minute ago, and return when the referrals were escalated."""
    ids = [each.json()["id"] for each in sent]
    with psycopg.connect(services.postgres, autocommit=True) as connection:
        connection.execute(
            """update referral.referral set due_at = now() - interval '1 minute', escalated_at = null
               where referral_id = any(%s)""",
            [ids],
        )
    await_escalated(services, ids, len(ids))


def await_escalated(services: Services, ids: list[str], least: int) -> None:
    """Return when at least this many of these referrals were escalated."""
    deadline = time.monotonic() + PATIENCE_S
    escalated = "select from referral.referral where referral_id = any(%s) and escalated_at is not null"
    with psycopg.connect(services.postgres, autocommit=True) as connection:
        while len(connection.execute(escalated, [ids]).fetchall()) < least:
            assert time.monotonic() < deadline, services.log("refer")[-2000:]
            time.sleep(0.02)


def send(surgery: httpx.Client, team: str, **elements: Any) -> httpx.Response:
    sent = refer(surgery, service_request(new_nhs_number(), team, **elements))
    assert sent.status_code == 201, sent.text
    return sent


def answer(client: httpx.Client, address: str, **asked: str | int) -> dict[str, Any]:
    found = client.get(address, params=asked)
    assert found.status_code == 200, found.text
    told: dict[str, Any] = found.json()
    return told


def late(client: httpx.Client, **asked: str | int) -> list[str]:
    return [each["referral"] for each in answer(client, "/worklists/breaches", **asked)["rows"]]


def test_what_is_late_is_escalated_once_and_stays_in_the_list_until_somebody_acts(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = send(surgery, team)
    referral = sent.json()["id"]
    assert referral not in late(nurses, team=team)

    make_late(services, sent)

    assert late(nurses, team=team) == [referral]
    assert referral in late(surgery)
    task = read(nurses, task_of(sent))
    assert task.json()["status"] == "requested"
    assert act(nurses, task_of(sent), "accept", task.headers["ETag"]).status_code == 200
    assert late(nurses, team=team) == []
    escalations = [each for each in on_topic(services, referral, "accept") if each.action == "escalate"]
    assert [each.version for each in escalations] == [2]
    assert Notice("escalation", Party("RZ1", team), "referral-overdue") in escalations[0].notices


def test_an_appointment_far_away_is_not_late_before_it_was(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = send(surgery, team, priority="routine")
    accepted = act(nurses, task_of(sent), "accept", sent.headers["ETag"])
    start = (datetime.now(UTC) + timedelta(weeks=6)).isoformat()

    booked = act(nurses, task_of(sent), "book", accepted.headers["ETag"], {"name": "start", "valueInstant": start})

    assert booked.status_code == 200, booked.text
    assert booked.json()["restriction"]["period"]["end"] > start
    past = {"name": "start", "valueInstant": "2020-01-01T09:00:00Z"}
    assert act(nurses, task_of(sent), "book", booked.headers["ETag"], past).status_code == 422


def test_a_process_that_is_killed_while_it_escalates_has_told_each_once_in_the_end(
    services: Services, surgery: httpx.Client, team: str
) -> None:
    sent = [send(surgery, team) for _ in range(30)]
    ids = [each.json()["id"] for each in sent]
    services.kill("refer")
    with psycopg.connect(services.postgres, autocommit=True) as connection:
        connection.execute(
            "update referral.referral set due_at = now() - interval '1 minute' where referral_id = any(%s)", [ids]
        )
        for least in (1, 10, 20):
            services.start("refer")
            await_escalated(services, ids, least)
            services.kill("refer")
    services.start("refer")
    await_escalated(services, ids, len(ids))
    act(surgery, task_of(sent[0]), "cancel", read(surgery, task_of(sent[0])).headers["ETag"], REASON)

    # The relay can send an event twice when it is killed: count it once.
    events = {each.event_id: each for each in on_topic(services, ids[0], "cancel", *ids[1:])}.values()
    assert sorted(each.referral_id for each in events if each.action == "escalate") == sorted(ids)
    metrics = httpx.get(f"{services.stack.health['refer']}/metrics", trust_env=False).text
    assert "onestory_referral_escalations_total" in metrics
    assert "onestory_referrals_overdue_untold 0.0" in metrics


def test_everybody_on_the_list_or_in_a_notice_leaves_a_trace(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = send(surgery, team)
    make_late(services, sent)
    before = topic_ends(services, ACCESS_TOPIC)

    for address in ("/worklists/breaches", "/notices"):
        answer(nurses, address, team=team)

    person_key = sent.json()["id"].partition("-")[0]
    traces = [each for each in new_on(services, ACCESS_TOPIC, before) if isinstance(each, AccessRecorded)]
    assert [(each.interaction, each.reason) for each in traces if each.person_key == person_key] == [
        ("worklist", "referral-party"),
        ("notices", "referral-party"),
    ]


def test_a_row_says_whose_turn_it_is_and_since_when_it_is_late(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    waiting, rejected = send(surgery, team), send(surgery, team)
    assert act(nurses, task_of(rejected), "reject", rejected.headers["ETag"], REASON).status_code == 200
    make_late(services, waiting, rejected)

    of_team = answer(nurses, "/worklists/breaches", team=team)
    of_surgery = {each["referral"]: each for each in answer(surgery, "/worklists/breaches", organisation="RZ1")["rows"]}

    assert of_team["counts"] == {"total": 1, "escalated": 1}
    assert [(each["referral"], each["yourTurn"], each["breached"]) for each in of_team["rows"]] == [
        (waiting.json()["id"], True, True)
    ]
    assert not of_surgery[waiting.json()["id"]]["yourTurn"]
    assert of_surgery[rejected.json()["id"]]["yourTurn"]


def test_the_list_is_read_page_by_page_the_longest_late_first(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = [send(surgery, team) for _ in range(3)]
    for each in sent:
        make_late(services, each)

    first = answer(nurses, "/worklists/breaches", team=team, count=2)
    second = nurses.get(first["next"]).json()

    assert first["counts"]["total"] == 3
    assert [each["referral"] for each in first["rows"] + second["rows"]] == [each.json()["id"] for each in sent]
    assert second["next"] is None
    since = first["rows"][-1]["dueAt"]
    assert late(nurses, team=team, since=since) == [each.json()["id"] for each in sent[1:]]


def test_nobody_sees_what_is_late_elsewhere(services: Services, surgery: httpx.Client, team: str) -> None:
    sent = send(surgery, team)
    draft = send(surgery, team, status="draft")
    make_late(services, sent, draft)

    with services.client("RZ9", network="elsewhere") as stranger, services.client("RZ1") as nurses:
        assert late(stranger) == []
        assert stranger.get("/worklists/breaches", params={"team": team}).status_code == 404
        assert stranger.get("/notices", params={"team": team}).status_code == 404
        assert late(nurses, team=team) == [sent.json()["id"]]
        assert draft.json()["id"] not in [each["referral"] for each in answer(nurses, "/notices")["notices"]]
    assert draft.json()["id"] in late(surgery)


def test_who_has_left_the_team_reads_neither_its_late_referrals_nor_what_it_was_told(
    services: Services, surgery: httpx.Client, team: str
) -> None:
    make_late(services, send(surgery, team))
    role = new_role(services, team, "RZ1", f"nurse-{team}")

    with services.client("RZ1", sub=f"nurse-{team}") as nurse:
        assert len(late(nurse)) == 1
        assert team in [each["team"] for each in answer(nurse, "/notices")["notices"]]
        end_role(services, role, LONG_AGO)

        assert late(nurse) == []
        assert team not in [each["team"] for each in answer(nurse, "/notices")["notices"]]
        assert nurse.get("/notices", params={"team": team}).status_code == 403


def test_a_team_reads_what_it_was_told_the_newest_first(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = send(surgery, team)
    make_late(services, sent)
    task = read(nurses, task_of(sent))
    act(nurses, task_of(sent), "accept", task.headers["ETag"])

    to_team = answer(nurses, "/notices", team=team)["notices"]
    to_surgery = [each for each in answer(surgery, "/notices")["notices"] if each["referral"] == sent.json()["id"]]

    assert sorted((each["code"], each["as"], each["number"]) for each in to_team) == [
        ("referral-overdue", "escalation", 2),
        ("referral-overdue", "recipient", 2),
        ("referral-requested", "recipient", 1),
    ]
    assert to_team[-1]["code"] == "referral-requested"
    assert [each["code"] for each in to_surgery] == ["referral-accepted", "referral-overdue"]
    assert to_surgery[0]["version"] == read(nurses, task_of(sent)).headers["ETag"]


def test_who_asks_again_is_told_what_is_new_and_misses_nothing(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = [send(surgery, team) for _ in range(5)]
    told: dict[str, str] = {}
    page = answer(nurses, "/notices", team=team, count=2)
    since = page["since"]
    while True:
        told |= {each["notice"]: each["referral"] for each in page["notices"]}
        assert page["since"] == since
        if page["next"] is None:
            break
        page = nurses.get(page["next"]).json()
    assert sorted(told.values()) == sorted(each.json()["id"] for each in sent)

    another = send(surgery, team)
    new = {each["notice"]: each["referral"] for each in answer(nurses, "/notices", team=team, since=since)["notices"]}

    assert {referral for name, referral in new.items() if name not in told} == {another.json()["id"]}


@pytest.mark.parametrize("address", ["/notices", "/worklists/breaches"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("since", "yesterday"), ("cursor", "abc"), ("count", "0"), ("team", "\x00"), ("team", ""), ("teem", "x")],
)
def test_a_question_that_makes_no_sense_is_refused(surgery: httpx.Client, address: str, name: str, value: str) -> None:
    refused = surgery.get(address, params={name: value})

    assert refused.status_code == 400, refused.text


def test_a_cursor_of_one_list_is_refused_by_another(services: Services, surgery: httpx.Client, team: str) -> None:
    make_late(services, send(surgery, team), send(surgery, team))
    following = answer(surgery, "/worklists/breaches", count=1)["next"]

    refused = surgery.get("/notices", params={"cursor": httpx.URL(following).params["cursor"]})

    assert refused.status_code == 400, refused.text


def on_topic(services: Services, referral: str, until: str, *others: str) -> list[ReferralChanged]:
    """Wait until Kafka has this action of the referral, and return its events and those of the others, in order."""
    found: list[ReferralChanged] = []
    deadline = time.monotonic() + PATIENCE_S
    with closing(KafkaConsumer(bootstrap_servers=services.kafka)) as consumer:
        places = [TopicPartition(REFERRAL_TOPIC, number) for number in range(topics()[REFERRAL_TOPIC].partitions)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        while (referral, until) not in [(each.referral_id, each.action) for each in found] or waits(services):
            assert time.monotonic() < deadline
            for messages in consumer.poll(timeout_ms=200).values():
                events = [create_codec().decode(message.value) for message in messages]
                found += [each for each in events if isinstance(each, ReferralChanged)]
    return [each for each in found if each.referral_id in (referral, *others)]


def waits(services: Services) -> bool:
    """Return whether events wait in the outbox."""
    with psycopg.connect(services.postgres) as connection:
        return bool(connection.execute("select from referral.outbox limit 1").fetchall())


def topic_ends(services: Services, topic: str) -> dict[TopicPartition, int]:
    with closing(KafkaConsumer(bootstrap_servers=services.kafka)) as consumer:
        ends: dict[TopicPartition, int] = consumer.end_offsets(
            [TopicPartition(topic, number) for number in range(topics()[topic].partitions)]
        )
        return ends


def new_on(services: Services, topic: str, before: dict[TopicPartition, int]) -> list[Event]:
    """Return the events on the topic since these offsets."""
    ends, found = topic_ends(services, topic), []
    with closing(KafkaConsumer(bootstrap_servers=services.kafka)) as consumer:
        consumer.assign(list(before))
        for place, offset in before.items():
            consumer.seek(place, offset)
        while any(consumer.position(place) < ends[place] for place in before):
            for messages in consumer.poll(timeout_ms=200).values():
                found += [create_codec().decode(message.value) for message in messages]
    return found
