"""Promise 3: an operator replays messages that were parked because of our own fault, on real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from kafka import KafkaConsumer, TopicPartition
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import publish_bundle
from tests.registry import Registry, running_registry
from tests.stack import Services, Stack
from tests.waiting import until

import onestory.record
from onestory.__main__ import main
from onestory.intake.preparation import EventMessages
from onestory.local.state import secret
from onestory.shared.events import Entry, Operation, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition, Producer
from onestory.shared.kafka.schemas import FileSchemaIds, load_schema, schemas_folder, topics
from onestory.shared.postgres import database as postgres_database

SOURCE = Source("A81001", "emis")
NEW_SCHEMA = 77


class Operator:
    """Calls `onestory parked` as a process whose settings name Kafka and PostgreSQL."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, list[str]]:
        """The exit code, the output and the lines of the errors."""
        self._capsys.readouterr()
        code = main(["parked", *arguments])
        said = self._capsys.readouterr()
        return code, said.out, said.err.splitlines()

    def listed(self, *positions: MessagePosition) -> list[dict[str, Any]]:
        """The parked messages at these positions."""
        found: list[dict[str, Any]] = json.loads(self("--json")[1])
        return [
            each for each in found if MessagePosition(each["topic"], each["partition"], each["offset"]) in positions
        ]

    def states(self, *positions: MessagePosition) -> list[str]:
        """The state of each parked message at these positions."""
        return [each["state"] for each in self.listed(*positions)]


@pytest.fixture
def operator(
    services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Operator]:
    """The operator of the running services. At the end the projector has its usual settings again."""
    monkeypatch.setenv("ONESTORY_KAFKA", services.kafka)
    monkeypatch.setenv("ONESTORY_POSTGRES", services.postgres)
    yield Operator(capsys)
    monkeypatch.undo()
    services.restart("project")


@pytest.fixture
def practice(services: Services) -> Iterator[httpx.Client]:
    with services.client(SOURCE.organisation, network="harbour") as client:
        yield client


def of_a_later_release(keys: Keys, number: str, local_id: str) -> KafkaMessage:
    """A statement with a schema id that only a registry knows. In all else it is as intake writes it."""
    person = PersonIdentifier(NHS_NUMBER_SYSTEM, number)
    shared_id = keys.shared_id(keys.person_key(person), SOURCE.organisation, SOURCE.system, "Condition", local_id)
    content = (
        f'{{"resourceType":"Condition","id":"{shared_id}","meta":{{}},"subject":{{"reference":"Patient/{number}"}}}}'
    )
    now = datetime.now(UTC)
    entry = Entry("Condition", local_id, shared_id, now, Operation.ASSERT, content.encode())
    event = RecordChanged(uuid4(), SOURCE, person, None, now, now, "test", (), (entry,))
    message = EventMessages(create_codec(), keys, topics()).message(event, "")
    return KafkaMessage(
        message.topic, message.key, struct.pack(">bI", 0, NEW_SCHEMA) + (message.value or b"")[5:], message.headers
    )


def send(kafka: str, *messages: KafkaMessage) -> list[MessagePosition]:
    with closing(Producer(kafka, timeout_s=10, client_id="test")) as producer:
        return asyncio.run(producer.send(messages))


def copies(kafka: str, position: MessagePosition, value: bytes | None) -> list[KafkaMessage]:
    """The messages with these bytes, from this position on."""
    place = TopicPartition(position.topic, position.partition)
    with closing(KafkaConsumer(bootstrap_servers=kafka)) as consumer:
        consumer.assign([place])
        end = consumer.end_offsets([place])[place]
        consumer.seek(place, position.offset)
        found = []
        while consumer.position(place) < end:
            found += consumer.poll(timeout_ms=500).get(place, [])
    return [KafkaMessage(m.topic, m.key, m.value, m.headers, m.partition) for m in found if m.value == value]


def hold(registry: Registry) -> None:
    """Give the registry the ids of the checked-in file and the id of the later release."""
    known = FileSchemaIds()
    for schema_id in json.loads((schemas_folder() / "avro" / "ids.json").read_text()).values():
        registry.hold(schema_id, json.dumps(known.schema(schema_id)))
    registry.hold(NEW_SCHEMA, json.dumps({**load_schema("RecordChanged"), "doc": "Of a later release."}))


def everything(client: httpx.Client, number: str) -> httpx.Response:
    answer = client.get(f"/fhir/Patient/{number}/$everything")
    assert answer.status_code == 200, answer.text
    return answer


def conditions(client: httpx.Client, number: str) -> list[dict[str, Any]]:
    entries = everything(client, number).json()["entry"]
    return [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "Condition"]


def waiting(client: httpx.Client, number: str) -> int:
    """How many statements of this person by `SOURCE` are parked, as readers see it."""
    parameters = client.get(f"/fhir/Patient/{number}/$freshness").json()["parameter"]
    sources = [{part["name"]: part for part in each["part"]} for each in parameters if each["name"] == "source"]
    (of_source,) = [each for each in sources if each["system"]["valueString"] == SOURCE.system]
    found: int = of_source["parked"]["valueUnsignedInt"]
    return found


def metric(services: Services, name: str) -> float:
    """The sum of a projector's counter over all its labels."""
    text = httpx.get(services.stack.health["project"] + "/metrics", trust_env=False).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + "{"))


def test_what_a_projector_could_not_read_is_in_the_record_once_it_can_and_is_replayed(
    services: Services, operator: Operator, practice: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, keys = new_nhs_number(), Keys(secret(services.home, "key-secret").encode())
    registered = transaction(patient(number, f"{number}-p"))
    publish_bundle(practice, registered)
    known = condition(number, f"{number}-known")
    publish_bundle(practice, transaction(known), **{"X-Source-System": SOURCE.system})
    message = of_a_later_release(keys, number, f"{number}-c")
    (position,) = send(services.kafka, message)
    until(lambda: operator.states(position) == ["parked"])
    (one,) = operator.listed(position)
    assert (one["reason"], one["publisher"], one["attempts"]) == ("unknown-schema", None, 1)
    counted = metric(services, "onestory_parked_total")
    assert waiting(practice, number) == 1

    # Nothing has been fixed, so the replay is parked again as the same parked message.
    assert operator("replay", one["id"])[0] == 0
    until(lambda: operator.states(position) == ["parked again"])
    assert metric(services, "onestory_parked_total") == counted
    assert metric(services, "onestory_parked_again_total") == 1
    assert waiting(practice, number) == 1
    assert len(conditions(practice, number)) == 1

    # The projector gets the address of the registry that knows the schema.
    with running_registry() as registry:
        hold(registry)
        monkeypatch.setenv("ONESTORY_SCHEMA_REGISTRY_URL", registry.url)
        services.restart("project")
        assert operator("replay", "--publisher", "unknown")[0] == 0
        until(lambda: len(conditions(practice, number)) == 2)
        assert waiting(practice, number) == 0
        assert operator.states(position) == ["replayed"]
        digest = everything(practice, number).headers["X-OneStory-Record-Digest"]

        # Another replay changes nothing. A later publish for the same person is read after it.
        assert operator("replay", one["id"])[0] == 0
        publish_bundle(practice, registered)
        assert everything(practice, number).headers["X-OneStory-Record-Digest"] == digest
        person_key = keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, number))
        shared_id = keys.shared_id(person_key, SOURCE.organisation, SOURCE.system, "Condition", f"{number}-c")
        assert practice.get(f"/fhir/Condition/{shared_id}/_history").json()["total"] == 1
        assert operator.states(position) == ["replayed"]

    original, *again = copies(services.kafka, position, message.value)
    assert len(again) == 3
    for replayed in again:
        assert (replayed.key, replayed.partition) == (original.key, original.partition)
        assert replayed.headers == [*original.headers, ("onestory-replay-of", one["id"].encode())]


def test_the_list_shows_nothing_of_a_person(services: Services, operator: Operator) -> None:
    number, keys = new_nhs_number(), Keys(secret(services.home, "key-secret").encode())
    (position,) = send(services.kafka, of_a_later_release(keys, number, f"{number}-c"))
    until(lambda: operator.states(position) == ["parked"])
    (one,) = operator.listed(position)

    table = operator()[1]

    (line,) = [line for line in table.splitlines() if line.startswith(one["id"])]
    place = f"{position.topic}/{position.partition}/{position.offset}"
    assert line.split()[3:] == ["unknown", "unknown-schema", place, "parked"]
    assert number not in table + operator("--json")[1]
    assert keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, number)) not in table + operator("--json")[1]


def test_without_kafka_nothing_is_marked_and_one_sentence_says_why(
    services: Services, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, keys = new_nhs_number(), Keys(secret(services.home, "key-secret").encode())
    (position,) = send(services.kafka, of_a_later_release(keys, number, f"{number}-c"))
    until(lambda: operator.states(position) == ["parked"])

    monkeypatch.setenv("ONESTORY_KAFKA", "127.0.0.1:1")
    code, said, errors = operator("replay", "--all")

    assert (code, said) == (1, "")
    assert errors == ["onestory parked: Kafka does not answer at 127.0.0.1:1."]
    assert operator.states(position) == ["parked"]


def test_an_id_under_which_nothing_is_parked_replays_nothing(operator: Operator) -> None:
    code, said, errors = operator("replay", str(UUID(int=1)))

    assert (code, said) == (1, "")
    assert errors == [f"onestory parked: No parked message has the id {UUID(int=1)}. Nothing was replayed."]


@pytest.mark.parametrize("arguments", [["replay"], ["replay", "everything"], ["replay", "--all", str(UUID(int=1))]])
def test_what_is_to_be_replayed_must_be_said_in_one_way(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["parked", *arguments])

    assert ended.value.code == 2
    assert "usage: onestory parked replay" in capsys.readouterr().err


def test_a_database_without_tables_and_no_database_are_told(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = Operator(capsys)

    monkeypatch.setenv("ONESTORY_POSTGRES", stack.fresh_database())
    assert operator()[::2] == (1, ["onestory parked: The database is not up to date: run `onestory migrate` first."])

    monkeypatch.setenv("ONESTORY_POSTGRES", "postgresql://postgres@127.0.0.1:1/onestory")
    says = "onestory parked: PostgreSQL does not answer at the address in ONESTORY_POSTGRES."
    assert operator("replay", "--all")[::2] == (1, [says])


def test_nothing_parked_is_nothing_to_replay(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    operator, database = Operator(capsys), stack.fresh_database()
    postgres_database.migrate(database, "record", Path(onestory.record.__file__).parent / "migrations")
    monkeypatch.setenv("ONESTORY_POSTGRES", database)

    assert operator() == (0, "Nothing is parked.\n", [])
    assert operator("--json") == (0, "[]\n", [])
    assert operator("replay", "--all") == (0, "No parked message waits for a replay.\n", [])
