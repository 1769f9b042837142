"""An upgrade finds the labels of stored statements by the same rule as `is_restricted`."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID

import orjson

import onestory.record
from onestory.record.person.labels import is_restricted
from onestory.shared.postgres import database as postgres_database

MIGRATIONS = Path(onestory.record.__file__).parent / "migrations"
_STATEMENT = """
    insert into statement (person_key, shared_id, event_id, rank, published_at, resource_type, organisation, system,
        local_id, operation, content, content_digest, broker_time, partition, "offset", recorded_at)
    values ('k', 'k-1', %s, 1, now(), 'Condition', 'X26', 'epr', 'c', 'assert', %b, '', now(), 0, 0, now())
"""
URL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
OID = "2.16.840.1.113883.5.25"


def labelled(code: str | None, system: str | None, text: str = "") -> bytes:
    label = {name: value for name, value in (("system", system), ("code", code)) if value is not None}
    return orjson.dumps({"meta": {"security": [label]}, "note": text})


CONTENTS = [
    *[labelled(code, system) for code in ("R", "V", "N", "r", " v", None) for system in (URL, OID, f"urn:oid:{OID}")],
    labelled("R", "http://hl7.org/fhir/v3/Confidentiality"),
    labelled("R", None),
    labelled("R", ""),
    labelled("R", " "),
    labelled("R", f"URN:OID:{OID}"),
    labelled("R", f"urn:oid:{OID}.1"),
    labelled("R", "urn:oid:2x16x840x1x113883x5x25"),
    labelled("R", "http://terminology.hl7.org/CodeSystem/v3-ActCode"),
    labelled("R", URL).replace(b"security", b"\\u0073ecurity"),
    labelled("N", URL).replace(b"security", b"\\u0073ecurity"),
    labelled("R", URL, "\0 and \\u0000"),
    labelled("N", URL, "\0 and \\u0000"),
    labelled("R", URL, "pair \U0001f600").replace("\U0001f600".encode(), b"\\ud83d\\ude00"),
    b'{"meta":{},"note":"security"}',
    b'{"note":"security"}',
    b'{"meta":{"security":[]}}',
    b'{"contained":[{"meta":{"security":[{"code":"R"}]}}]}',
]


def test_an_upgrade_finds_the_labels_of_stored_statements(database: str, tmp_path: Path) -> None:
    for path in MIGRATIONS.glob("*.sql"):
        if path.name < "0013":
            shutil.copy(path, tmp_path)
    postgres_database.migrate(database, "record", tmp_path)
    with postgres_database.connect(database, "record") as connection:
        for number, content in enumerate(CONTENTS):
            connection.execute(_STATEMENT, [UUID(int=number), content])

    postgres_database.migrate(database, "record", MIGRATIONS)

    with postgres_database.connect(database, "record") as connection:
        rows = connection.execute("select content, restricted from statement order by event_id").fetchall()
    assert [restricted for _, restricted in rows] == [is_restricted(content) for content, _ in rows]
    assert 5 < sum(restricted for _, restricted in rows) < len(CONTENTS) - 5
