"""A codec takes its schema ids from a registry. Without a registry, a process ends with one clear error."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from tests.registry import Registry, running_registry
from tests.stack import Stack

from onestory.record.clinical_data import unreviewed_files
from onestory.shared.errors import Misconfigured, Unavailable, Unprocessable
from onestory.shared.events import RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import load_schema

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
PERSON = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000018")
EVENT = RecordChanged(UUID(int=1), Source("A81001", "emis"), PERSON, None, MOMENT, MOMENT, "test", (), ())
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def registry() -> Iterator[Registry]:
    with running_registry() as running:
        yield running


@pytest.fixture(params=["loopback", "docker"])
def url(request: pytest.FixtureRequest) -> str:
    """The address of the fake registry, and of the real one where it runs."""
    if request.param == "loopback":
        running: Registry = request.getfixturevalue("registry")
        return running.url
    stack: Stack = request.getfixturevalue("stack")
    if not stack.schema_registry:
        pytest.skip("the embedded stack has no schema registry; the one in Docker has")
    return stack.schema_registry


def schema_id(value: bytes) -> int:
    """The schema id in the first bytes of a message."""
    found: int = struct.unpack_from(">bI", value)[1]
    return found


def with_id(value: bytes, other: int) -> bytes:
    return struct.pack(">bI", 0, other) + value[5:]


def test_every_process_gets_the_same_id_and_reads_what_another_wrote(url: str) -> None:
    written = create_codec(url).encode(EVENT)

    another = create_codec(url)

    assert another.encode(EVENT) == written
    assert another.decode(written) == EVENT


def test_an_id_that_the_registry_does_not_know_cannot_be_used(url: str) -> None:
    contract = create_codec(url)

    with pytest.raises(Unprocessable) as caught:
        contract.decode(with_id(contract.encode(EVENT), 987_654))

    assert caught.value.issues[0].code == "not-found"


def test_ids_are_the_registrys_and_each_subject_is_that_of_a_topic(registry: Registry) -> None:
    written = create_codec(registry.url).encode(EVENT)

    assert registry.subjects.keys() == {
        f"care.{name}-value" for name in ("record", "directory", "parked", "access", "summary", "referral")
    }
    assert [schema_id(written)] == registry.subjects["care.record-value"]
    assert schema_id(written) != schema_id(create_codec().encode(EVENT))


def test_what_an_older_schema_wrote_is_read_and_its_schema_is_asked_for_once(registry: Registry) -> None:
    older = {**load_schema("RecordChanged"), "doc": "As it was in an earlier release."}
    registry.register("care.record-value", json.dumps(older), first_id=77)
    contract = create_codec(registry.url)

    events = [contract.decode(with_id(contract.encode(EVENT), 77)) for _ in range(3)]

    assert events == [EVENT] * 3
    assert registry.asked.count("GET /schemas/ids/77") == 1


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ('"string"', "AVRO"),
        ('["null", "string"]', "AVRO"),
        ('{"type": "recrod"}', "AVRO"),
        ("message A {}", "PROTOBUF"),
    ],
)
def test_a_message_of_somebody_elses_schema_cannot_be_used_and_stops_nothing(
    registry: Registry, schema: str, kind: str
) -> None:
    registry.hold(77, schema, kind)
    contract = create_codec(registry.url)

    with pytest.raises(Unprocessable):
        contract.decode(with_id(contract.encode(EVENT), 77))


def test_a_registry_that_goes_away_is_asked_again_later(registry: Registry) -> None:
    registry.hold(77, json.dumps(load_schema("RecordChanged")))
    with running_registry() as going:
        contract = create_codec(going.url)
        port = int(going.url.rpartition(":")[2])
    value = with_id(contract.encode(EVENT), 77)

    with pytest.raises(Unavailable):
        contract.decode(value)

    with running_registry(port) as back:
        back.schemas |= registry.schemas
        assert contract.decode(value) == EVENT


def test_a_schema_that_the_registry_finds_incompatible_is_a_matter_for_the_operator(registry: Registry) -> None:
    other = {"type": "record", "name": "RecordChanged", "namespace": "onestory", "fields": []}
    registry.register("care.record-value", json.dumps(other))

    with pytest.raises(Misconfigured, match=r"care\.record-value"):
        create_codec(registry.url)


def test_an_address_that_is_no_registrys_is_told(registry: Registry) -> None:
    with pytest.raises(Unavailable, match="ONESTORY_SCHEMA_REGISTRY_URL answers 404"):
        create_codec(f"{registry.url}/somewhere/else")


@pytest.mark.parametrize("command", [["serve"], ["project", "record"], ["project", "referral"]])
@pytest.mark.parametrize("url", [NOBODY, "localhost:8081", "http://[nowhere"])
def test_a_process_without_its_registry_ends_with_one_sentence(command: list[str], url: str) -> None:
    environment = {
        "ONESTORY_SCHEMA_REGISTRY_URL": url,
        "ONESTORY_KEY_SECRET": "a secret for tests, long enough!",  # pragma: allowlist secret
        "ONESTORY_OIDC_ISSUER": NOBODY,
        "ONESTORY_OIDC_JWKS_URL": NOBODY,
        "ONESTORY_ACCEPT_UNREVIEWED": ",".join(unreviewed_files()),
    }

    ended = subprocess.run(
        [sys.executable, "-m", "onestory", *command], env=environment, capture_output=True, text=True, timeout=60
    )

    says = f"onestory {command[0]}: The schema registry does not answer at the address in ONESTORY_SCHEMA_REGISTRY_URL."
    assert (ended.returncode, ended.stdout, ended.stderr.splitlines()) == (1, "", [says])
