"""`onestory rebuild record` keeps the same record while readers and publishers go on, on real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, LiteralString

import httpx
import psycopg
import pytest
from kafka import KafkaConsumer, TopicPartition
from tests.integration.record.statements import Said, at, expected_record, later, statement
from tests.people import condition, new_nhs_number, patient
from tests.publishing import publish
from tests.referral_events import Made
from tests.stack import Services, Stack, own_services
from tests.waiting import until
from uuid_utils.compat import uuid7

from onestory.intake.preparation import EventMessages
from onestory.local import up
from onestory.local.state import secret
from onestory.record.projector.referral import record_changed_from
from onestory.record.rebuild import store as rebuild_store
from onestory.shared.events import RecordChanged, ReferralChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import KafkaMessage, Producer
from onestory.shared.kafka.schemas import PARKED_TOPIC, RECORD_TOPIC, REFERRAL_TOPIC, SUMMARY_TOPIC, topics

WAIT = {"Content-Type": "application/fhir+json", "Prefer": "wait=30"}
_event_ids = count(1)


@dataclass(frozen=True)
class Care:
    """A record with its own processes, and the record that its published events give."""

    services: Services
    keys: Keys
    expected: dict[str, bytes] = field(default_factory=dict)
    """The record that `record` must return when every event was projected."""

    def say(self, *events: RecordChanged) -> None:
        """Publish events as intake does. Each call uses its own people."""
        messages = EventMessages(create_codec(), self.keys, topics())
        self.expected.update(expected_record(self.keys, events))
        self.send(*(messages.message(event, "") for event in events))

    def refer(self, *changes: ReferralChanged) -> None:
        """Publish changes of referrals as the referral service does."""
        avro = create_codec()
        keyed = [(self.keys.person_key(each.person).encode(), avro.encode(each)) for each in changes]
        self.expected.update(expected_record(self.keys, [record_changed_from(each) for each in changes]))
        self.send(*(KafkaMessage(REFERRAL_TOPIC, key, value, []) for key, value in keyed))

    def send(self, *messages: KafkaMessage) -> None:
        """Send messages to Kafka."""
        prefix = self.services.prefix
        with closing(Producer(self.services.kafka, timeout_s=30, client_id="test", prefix=prefix)) as producer:
            asyncio.run(producer.send(messages))

    def settle(self) -> None:
        """Wait until the record has every message of the two topics."""
        ends = {topic: self.ends(topic) for topic in (RECORD_TOPIC, REFERRAL_TOPIC)}
        wanted = {(topic, partition, end) for topic in ends for partition, end in ends[topic].items() if end}
        until(lambda: wanted <= set(self.rows("select topic, partition, next_offset from record.position")))

    def ends(self, topic: str) -> dict[int, int]:
        """The end offset of each partition."""
        with closing(KafkaConsumer(bootstrap_servers=self.services.kafka)) as consumer:
            places = [TopicPartition(self.services.prefix + topic, each) for each in range(topics()[topic].partitions)]
            return {place.partition: end for place, end in consumer.end_offsets(places).items()}

    def rows(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """All rows that a query returns; none for a command."""
        with psycopg.connect(self.services.postgres, autocommit=True) as connection:
            done = connection.execute(query, values or None)
            return done.fetchall() if done.description else []

    def record(self) -> dict[str, bytes]:
        """A map from shared id to content digest, for each visible resource."""
        return dict(self.rows("select shared_id, content_digest from record.current where visible"))

    def generation(self) -> int:
        """A number that identifies the tables that readers use."""
        return int(self.rows("select 'record.current'::regclass::oid::int")[0][0])

    def generations(self) -> list[str]:
        """The names of the record's schemas."""
        return [name for (name,) in self.rows("select nspname from pg_namespace where nspname ~ '^record' order by 1")]

    def begin(self, *options: str) -> subprocess.Popen[str]:
        """Start `onestory rebuild record` as an operator does."""
        command = [sys.executable, "-m", "onestory", "rebuild", "record", *options]
        told = up.process_environment("command", self.services.home, self.services.stack)
        return subprocess.Popen(command, env=told, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def rebuild(self, *options: str) -> tuple[int, str, str]:
        """The exit code, the output and the errors."""
        process = self.begin(*options)
        said, errors = process.communicate(timeout=120)
        return process.returncode, said, errors


@pytest.fixture(scope="module")
def care_of_module(stack: Stack) -> Iterator[Care]:
    """A record with its own topics: a rebuild reads whole topics, and other tests send messages only they can use."""
    with own_services(stack) as services:
        yield Care(services, Keys(secret(services.home, "key-secret").encode()))


@pytest.fixture
def care(care_of_module: Care) -> Iterator[Care]:
    yield care_of_module
    assert care_of_module.rebuild("--drop")[0] == 0


def hard_to_order(keys: Keys) -> list[RecordChanged]:
    """Corrections, moves between people, retractions, whole lists and repetitions for a few people."""
    people = [PersonIdentifier(NHS_NUMBER_SYSTEM, new_nhs_number()) for _ in range(5)]
    events = []
    for number in range(200):
        about, local_id = people[number % 5 if number % 7 else (number + 1) % 5], f"{people[0].value}-{number % 30}"
        text = None if number % 11 == 0 else f'"n":{number}'
        events.append(
            statement(
                keys,
                next(_event_ids),
                about,
                [Said("Condition", local_id, text, number * 37 % 200)],
                source=Source("A81001", "emis") if number % 3 else Source("RZ1", "epr"),
                published=number,
                recorded=number,
                complete_types=["Condition"] if number % 29 == 0 else [],
            )
        )
    return [*events, *(later(event, published=index * 5) for index, event in enumerate(events[::4]))]


def test_a_rebuilt_record_is_the_record(care: Care) -> None:
    care.say(*hard_to_order(care.keys))
    care.settle()
    before, tables = care.record(), care.generation()
    assert before == care.expected

    code, said, errors = care.rebuild()

    assert (code, said) == (
        0,
        "Readers now see the rebuilt record. The former one is kept until --drop or the next rebuild.\n",
    ), errors
    assert care.record() == before
    assert care.generation() != tables
    assert care.generations() == ["record", "record_before"]
    # The projector continues as before.
    care.say(*hard_to_order(care.keys))
    care.settle()
    assert care.record() == care.expected


def test_a_dry_run_changes_nothing_and_what_it_built_is_dropped(care: Care) -> None:
    care.say(*hard_to_order(care.keys))
    care.settle()
    before, tables = care.record(), care.generation()

    code, said, _ = care.rebuild("--dry-run")

    assert code == 0
    assert said.startswith("The live record was not replaced.")
    assert (care.record(), care.generation()) == (before, tables)
    assert care.rebuild("--drop")[1] == "Dropped the half-built generation.\n"
    assert care.rebuild("--drop")[1] == "There is nothing to drop.\n"
    assert care.generations() == ["record"]


def test_what_was_tampered_with_is_told_by_person_and_keeps_the_record_until_it_is_accepted(care: Care) -> None:
    care.say(*hard_to_order(care.keys))
    care.settle()
    untouched = care.record()
    hidden, altered = care.rows(
        """select distinct on (person_key) person_key, shared_id, content
           from record.current join record.statement using (person_key, shared_id, event_id) where visible limit 2"""
    )
    care.rows("update record.current set retired = true where shared_id = %s", hidden[1])
    care.rows("update record.statement set content = content || 'x' where shared_id = %s", altered[1])

    for options in ([], ["--dry-run"]):
        code, said, errors = care.rebuild(*options)

        assert code == 1
        assert "so the live record was not replaced" in errors
        assert [line.split()[0] for line in said.splitlines() if line.split()[:1] in ([hidden[0]], [altered[0]])]
        assert {hidden[0], altered[0]} == set(re.findall(r"^ *([a-z2-7]{26}) ", said, re.M))
        assert "visible entries: " in said
        assert care.generations() == ["record", "record_next"]
    assert care.record().keys() < untouched.keys()

    assert care.rebuild("--accept-differences")[0] == 0
    assert care.record() == untouched
    assert (altered[2],) in care.rows("select content from record.statement where shared_id = %s", altered[1])


def test_how_referrals_stand_is_rebuilt_too_and_compared(care: Care) -> None:
    made = Made(care.keys, PersonIdentifier(NHS_NUMBER_SYSTEM, new_nhs_number()))
    drafted, sent, accepted = (
        made.change(uuid7(), version, status, at(60 * version))
        for version, status in enumerate(("draft", "requested", "accepted"), 1)
    )
    care.refer(drafted, accepted, sent, accepted)
    care.settle()
    before = [care.rows(query) for query in REFERRALS]
    assert [len(rows) for rows in before] == [1, 1, 1]
    assert {made.referral_id, made.task_id} <= care.record().keys()

    code, _, errors = care.rebuild()

    assert code == 0, errors
    assert [care.rows(query) for query in REFERRALS] == before
    care.rows("update record.referral set holder = 'RZ9'")
    code, said, _ = care.rebuild()
    assert code == 1
    assert re.search(r"\S+ +referrals: other content in 1", said)
    assert care.rebuild("--accept-differences")[0] == 0
    assert [care.rows(query) for query in REFERRALS] == before


def test_reads_go_on_and_what_is_published_meanwhile_is_in_the_result(care: Care) -> None:
    care.say(*hard_to_order(care.keys))
    number = new_nhs_number()
    with care.services.client("A81001", network="harbour") as practice, reading(practice, care, number) as seen:
        process = care.begin()
        for each in range(500):
            publish(practice, condition(number, f"{number}-c{each}"))
            care.say(*hard_to_order(care.keys)[:10])
            if process.poll() is not None:
                break
        told, errors = process.communicate(timeout=60)
        assert process.returncode == 0, told + errors
        publish(practice, condition(number, f"{number}-last"))
        so_far = len(seen)
        until(lambda: len(seen) > so_far + 20)

    assert len(set(seen)) > 1, "nothing was published while it was rebuilt"
    assert seen == sorted(seen), "a reader saw less than before"
    care.settle()
    assert care.expected.items() <= care.record().items()
    assert care.rebuild("--dry-run")[0] == 0


def test_a_rebuild_that_was_killed_goes_on_where_it_was(care: Care) -> None:
    for _ in range(10):
        care.say(*hard_to_order(care.keys))
    care.settle()
    before = care.record()
    process = care.begin()
    until(lambda: "record_next" in care.generations() and bool(started(care)))
    process.kill()
    process.communicate()
    halfway = started(care)

    process = care.begin()
    errors = process.communicate(timeout=120)[1]

    assert process.returncode == 0, errors
    assert "going on from where a rebuild was stopped" in errors
    assert halfway
    assert care.record() == before


def test_of_two_rebuilds_the_second_is_told(care: Care) -> None:
    with rebuild_store.exclusive_connection(care.services.postgres):
        for options in ([], ["--drop"]):
            assert care.rebuild(*options) == (
                1,
                "",
                "onestory rebuild: Another rebuild of this record is running. Nothing was changed.\n",
            )


def test_what_is_parked_stays_parked_and_is_told_once(care: Care) -> None:
    care.send(*(KafkaMessage(RECORD_TOPIC, b"nobody", b"no statement %d" % each, [], each) for each in range(3)))
    until(lambda: len(care.rows("select 1 from record.parked")) == 3)
    (replayed,) = care.rows("select parked_id from record.parked order by partition limit 1")
    assert operate(care, "parked", "replay", str(replayed[0])) == 0
    until(lambda: care.rows("select 1 from record.parked where attempts = 2") == [(1,)])
    until(lambda: len(notices(care)) == 4)
    before = care.rows(PARKED_ROWS)
    # This message waits in the outbox, because the projector that sends it is stopped.
    care.services.stop("project")
    care.rows("insert into record.outbox (topic, key, value) values (%s, 'k', 'on its way')", PARKED_TOPIC)

    code, _, errors = care.rebuild()

    assert code == 0, errors
    assert care.rows(PARKED_ROWS) == before
    care.services.start("project")
    until(lambda: care.rows("select count(*) from record.outbox") == [(0,)])
    assert [value for value in notices(care) if value == b"on its way"] == [b"on its way"]
    assert len(notices(care)) == 5
    assert operate(care, "parked", "replay", str(replayed[0])) == 0
    until(lambda: care.rows("select 1 from record.parked where attempts = 3") == [(1,)])


def test_no_summary_is_published_again_unless_something_differed(care: Care) -> None:
    care.say(*hard_to_order(care.keys))
    care.settle()
    until(lambda: care.rows(SUMMARIES_WAIT) == [(0,)] and care.rows("select 1 from record.outbox") == [])
    ends, kept = care.ends(SUMMARY_TOPIC), care.rows("select * from record.summary order by person_key")
    assert kept

    assert care.rebuild()[0] == 0

    assert care.rows("select * from record.summary order by person_key") == kept
    assert care.rows(SUMMARIES_WAIT) == [(0,)]
    # A summary that changes is still published, and it is the only one.
    number = new_nhs_number()
    with care.services.client("A81001", network="harbour") as practice:
        publish(practice, patient(number, f"{number}-p"), condition(number, f"{number}-c"))
    until(
        lambda: (
            care.rows("select 1 from record.outbox") == []
            and sum(care.ends(SUMMARY_TOPIC).values()) > sum(ends.values())
        )
    )
    assert sum(care.ends(SUMMARY_TOPIC).values()) == sum(ends.values()) + 1


REFERRALS: tuple[LiteralString, ...] = (
    "select * from record.referral",
    "select * from record.referral_sent",
    "select * from record.referral_task",
)
SUMMARIES_WAIT: LiteralString = "select count(*) from record.person_state where due_since is not null"
PARKED_ROWS: LiteralString = """
    select parked_id, reason, topic, partition, "offset", value, attempts, parked_at, latest_offset, replayed_at,
           replayed_offset, waiting
    from record.parked order by partition"""


@contextmanager
def reading(client: httpx.Client, care: Care, number: str) -> Iterator[list[int]]:
    """Reads this person's record repeatedly during the block. Yields how many entries each read saw."""
    publish(client, patient(number, f"{number}-p"))
    seen, over = list[int](), threading.Event()

    def read() -> None:
        with care.services.client("A81001", network="harbour") as reader:
            while not over.is_set():
                answer = reader.get(f"/fhir/Patient/{number}/$everything", params={"_count": 1000})
                assert answer.status_code == 200, answer.text
                seen.append(answer.json()["total"])

    with ThreadPoolExecutor(1) as threads:
        reader = threads.submit(read)
        try:
            yield seen
        finally:
            over.set()
            reader.result()


def started(care: Care) -> list[tuple[Any, ...]]:
    """The positions of the half-built generation."""
    if care.rows("select to_regclass('record_next.position')") == [(None,)]:
        return []
    return care.rows("select topic, partition, next_offset from record_next.position where next_offset > 0")


def operate(care: Care, *command: str) -> int:
    told = up.process_environment("command", care.services.home, care.services.stack)
    return subprocess.run([sys.executable, "-m", "onestory", *command], env=told, timeout=60).returncode


def notices(care: Care) -> list[bytes]:
    """All messages on care.parked."""
    with closing(KafkaConsumer(bootstrap_servers=care.services.kafka)) as consumer:
        numbers = range(topics()[PARKED_TOPIC].partitions)
        places = [TopicPartition(care.services.prefix + PARKED_TOPIC, number) for number in numbers]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        consumer.seek_to_beginning(*places)
        found: list[bytes] = []
        while any(consumer.position(place) < ends[place] for place in places):
            for messages in consumer.poll(timeout_ms=500).values():
                found.extend(message.value for message in messages)
        return found
