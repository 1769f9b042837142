"""The write rate of the projector, compared with a bare COPY of the same rows into PostgreSQL in the same run.

Kafka, PostgreSQL and the projector share this machine. Statements are published while the projector is stopped; the
clock runs from the first batch that is visible to the last.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
from kafka import KafkaProducer
from tests.bench.figures import Figure
from tests.stack import Services

from onestory.local.state import secret
from onestory.shared.events import Entry, Operation, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import RECORD_TOPIC

STATEMENTS = 12_000
ENTRIES = 25
PEOPLE = 2_000
KINDS = ("Observation", "Condition", "MedicationRequest", "Encounter", "Procedure")
BODY = (
    b'"profile":["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Observation"]},"status":"final","code":{"coding":'
    b'[{"system":"http://snomed.info/sct","code":"364075005","display":"Heart rate"}]},"note":[{"text":"%b"}]}'
)
PATIENCE_S = 300


async def run(services: Services) -> list[Figure]:
    """Publish, project and compare."""
    rate, raw = await asyncio.to_thread(_measure, services)
    what = f"statements of {ENTRIES}, current and history, one process"
    return [Figure("projector", what, rate, "entries/s", raw, "bare COPY of the same rows, one connection")]


def _measure(services: Services) -> tuple[float, float]:
    before = done(services.postgres)
    services.stop("project")
    publish(services)
    services.start("project")
    return _rate(services.postgres, before), copy_rate(services.postgres)


def publish(services: Services, statements: int = STATEMENTS) -> None:
    """Publish the statements to the topic."""
    avro, keys = create_codec(), Keys(secret(services.home, "key-secret").encode())
    producer = KafkaProducer(
        bootstrap_servers=services.kafka, acks="all", compression_type="lz4", batch_size=262_144, linger_ms=5
    )
    for key, event in _events(keys, statements):
        producer.send(RECORD_TOPIC, avro.encode(event), key.encode())
    producer.flush()
    producer.close()


def _events(keys: Keys, statements: int) -> Iterator[tuple[str, RecordChanged]]:
    now, source = datetime.now(UTC), Source("A81001", "bench")
    body = BODY % (b"Measured at home, sitting, after five minutes of rest. " * 10)
    for number in range(statements):
        person = PersonIdentifier(NHS_NUMBER_SYSTEM, f"999{number % PEOPLE:07d}")
        key = keys.person_key(person)
        said = []
        for index in range(ENTRIES):
            kind, local_id = KINDS[index % len(KINDS)], f"{number}-{index}"
            shared_id = keys.shared_id(key, source.organisation, source.system, kind, local_id)
            content = f'{{"resourceType":"{kind}","id":"{shared_id}","meta":{{'.encode() + body
            said.append(Entry(kind, local_id, shared_id, now, Operation.ASSERT, content))
        yield key, RecordChanged(uuid.uuid4(), source, person, None, now, now, "bench", (), tuple(said))


def _rate(dsn: str, before: int) -> float:
    """Return entries per second, from the first visible batch to the last."""
    deadline = time.monotonic() + PATIENCE_S
    first: tuple[float, int] | None = None
    while time.monotonic() < deadline:
        written = done(dsn) - before
        if written and first is None:
            first = (time.monotonic(), written)
        if first and written >= STATEMENTS:
            return (written - first[1]) * ENTRIES / (time.monotonic() - first[0])
        time.sleep(0.02)
    raise TimeoutError("The projector did not finish.")


def done(dsn: str) -> int:
    """Return the number of visible messages."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("select coalesce(sum(next_offset), 0)::int from record.position").fetchone()
    return row[0] if row else 0


def copy_rate(dsn: str) -> float:
    """Return rows per second of a COPY of all statements into an empty table with the same key."""
    with psycopg.connect(dsn) as connection:
        connection.execute("set search_path = record")
        connection.execute("create table bare (like statement including indexes)")
        rows = connection.execute("select count(*) from statement").fetchone()
        assert rows is not None
        with connection.cursor() as source, connection.cursor() as target:
            with source.copy("copy statement to stdout (format binary)") as reading:
                chunks = list(reading)
            connection.commit()
            began = time.monotonic()
            with target.copy("copy bare from stdin (format binary)") as writing:
                for chunk in chunks:
                    writing.write(chunk)
            connection.commit()
        return float(rows[0] / (time.monotonic() - began))
