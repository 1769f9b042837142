"""`onestory project referral` is killed while referrals are made. Kafka still gets each change, in order."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID

import psycopg
from kafka import KafkaConsumer, TopicPartition
from tests.people import new_nhs_number
from tests.referrals import act, new_team, refer, service_request, task_of
from tests.stack import Services
from tests.waiting import until

from onestory.shared.events import ReferralChanged
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import REFERRAL_TOPIC


def test_killed_while_it_relays_it_loses_nothing_and_keeps_the_order(services: Services) -> None:
    team = new_team(services, "RZ1")

    def one() -> None:
        with services.client("A81001") as surgery, services.client("RZ1") as nurses:
            sent = refer(surgery, service_request(new_nhs_number(), team))
            tag = sent.headers["ETag"]
            for action in ("receive", "accept", "start", "complete"):
                answer = act(nurses, task_of(sent), action, tag)
                answer.raise_for_status()
                tag = answer.headers["ETag"]

    with ThreadPoolExecutor(4) as beside:
        working = [beside.submit(one) for _ in range(24)]
        while not all(each.done() for each in working):
            services.kill("refer")
            services.start("refer")
    for each in working:
        each.result()

    written = changes_to(services, team)
    assert len(written) == 24 * 5
    until(lambda: not waiting(services))
    heard = [event for event in on_kafka(services) if event.recipient.team == team]
    assert {event.event_id for event in heard} == written
    for _, events in itertools.groupby(sorted(heard, key=lambda e: e.referral_id), key=lambda e: e.referral_id):
        versions = list(dict.fromkeys(event.version for event in events))
        assert versions == [1, 2, 3, 4, 5]


def changes_to(services: Services, team: str) -> set[UUID]:
    """The events of all changes of referrals to a team."""
    with psycopg.connect(services.postgres) as connection:
        return {
            event_id
            for (event_id,) in connection.execute(
                """select event_id from referral.change join referral.referral using (person_key, referral_id)
                   where recipient_team = %s""",
                [team],
            )
        }


def waiting(services: Services) -> int:
    """Return how many events wait in the outbox."""
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute("select count(*) from referral.outbox").fetchone()
        assert row is not None
        return int(row[0])


def on_kafka(services: Services) -> list[ReferralChanged]:
    """Everything on care.referral, in the order of each partition."""
    avro, found = create_codec(), []
    with closing(KafkaConsumer(bootstrap_servers=services.kafka, auto_offset_reset="earliest")) as consumer:
        consumer.assign(
            [TopicPartition(REFERRAL_TOPIC, each) for each in consumer.partitions_for_topic(REFERRAL_TOPIC)]
        )
        ends = consumer.end_offsets(consumer.assignment())
        while any(consumer.position(place) < end for place, end in ends.items()):
            for messages in consumer.poll(timeout_ms=500).values():
                found += [avro.decode(message.value) for message in messages]
    return [event for event in found if isinstance(event, ReferralChanged)]
