"""How fast the projector writes, beside what PostgreSQL takes of the same rows by bare COPY in the same run.

Kafka, PostgreSQL and the projector share this machine. Statements are published first; the clock runs from the first
batch that is visible to the last.

    python -m tests.bench.projector [--statements 8000] [--entries 25]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
from kafka import KafkaProducer
from tests.stack import Stack, embedded_stack

from onestory.shared.contracts.codec import codec
from onestory.shared.contracts.topics import RECORD
from onestory.shared.events import Entry, Operation, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier

SECRET = "a secret for the bench, long enough"
KINDS = ("Observation", "Condition", "MedicationRequest", "Encounter", "Procedure")
BODY = (
    b'"profile":["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Observation"]},"status":"final","code":{"coding":'
    b'[{"system":"http://snomed.info/sct","code":"364075005","display":"Heart rate"}]},"note":[{"text":"%b"}]}'
)
PATIENCE_S = 300


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statements", type=int, default=8000)
    parser.add_argument("--entries", type=int, default=25, help="entries in each statement")
    parser.add_argument("--people", type=int, default=2000)
    arguments = parser.parse_args()
    with embedded_stack() as stack:
        figures(stack, arguments.statements, arguments.entries, arguments.people)
    return 0


def figures(stack: Stack, statements: int, entries: int, people: int) -> None:
    """Publish, project, compare."""
    environment = {
        **os.environ,
        "ONESTORY_KAFKA": stack.kafka,
        "ONESTORY_POSTGRES": stack.postgres,
        "ONESTORY_KEY_SECRET": SECRET,
        "ONESTORY_HEALTH_PORT": "0",
        "ONESTORY_LOG_LEVEL": "error",
    }
    onestory = [sys.executable, "-m", "onestory"]
    for command in (["topics", "apply"], ["migrate"]):
        subprocess.run([*onestory, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    publish(stack.kafka, statements, entries, people)
    with subprocess.Popen([*onestory, "project", "record"], env=environment) as projector:
        try:
            rate = _rate(stack.postgres, statements, entries)
            memory = _memory(projector.pid)
        finally:
            projector.terminate()
    raw = copy_rate(stack.postgres)
    print(f"projector          {rate:9,.0f} entries/s   current and history, one process, peak memory {memory:.0f} MB")
    print(f"bare COPY          {raw:9,.0f} rows/s      the same statements, one table with its key, one connection")
    print(f"projector / COPY   {rate / raw:9.2f}")


def publish(kafka: str, statements: int, entries: int, people: int) -> None:
    """Fill the topic."""
    avro = codec()
    producer = KafkaProducer(
        bootstrap_servers=kafka, acks="all", compression_type="lz4", batch_size=262_144, linger_ms=5
    )
    for key, event in _events(statements, entries, people):
        producer.send(RECORD, avro.encode(event), key.encode())
    producer.flush()
    producer.close()


def _events(statements: int, entries: int, people: int) -> Iterator[tuple[str, RecordChanged]]:
    keys, now, source = Keys(SECRET.encode()), datetime.now(UTC), Source("A81001", "bench")
    body = BODY % (b"Measured at home, sitting, after five minutes of rest. " * 10)
    for number in range(statements):
        person = PersonIdentifier(NHS_NUMBER_SYSTEM, f"999{number % people:07d}")
        key = keys.person_key(person)
        said = []
        for index in range(entries):
            kind, local_id = KINDS[index % len(KINDS)], f"{number}-{index}"
            shared_id = keys.shared_id(key, source.organisation, source.system, kind, local_id)
            content = f'{{"resourceType":"{kind}","id":"{shared_id}","meta":{{'.encode() + body
            said.append(Entry(kind, local_id, shared_id, now, Operation.ASSERT, content))
        yield key, RecordChanged(uuid.uuid4(), source, person, None, now, now, "bench", (), tuple(said))


def _rate(dsn: str, statements: int, entries: int) -> float:
    """Entries per second, from the first visible batch to the last."""
    deadline = time.monotonic() + PATIENCE_S
    first: tuple[float, int] | None = None
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.monotonic() < deadline:
            row = connection.execute("select coalesce(sum(next_offset), 0)::int from record.position").fetchone()
            done = row[0] if row else 0
            if done and first is None:
                first = (time.monotonic(), done)
            if first and done >= statements:
                return (done - first[1]) * entries / (time.monotonic() - first[0])
            time.sleep(0.02)
    raise TimeoutError("The projector did not finish.")


def copy_rate(dsn: str) -> float:
    """Rows per second of a COPY of all statements into an empty table with the same key."""
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


def _memory(pid: int) -> float:
    """The most memory that a process had resident, in MB (Linux)."""
    with open(f"/proc/{pid}/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1000


if __name__ == "__main__":
    sys.exit(main())
