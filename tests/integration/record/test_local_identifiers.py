"""The record keeps sources' local identifiers of people. A migration fills them in for earlier statements."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.record.record import Record
from tests.integration.record.statements import Said, person, statement

import onestory.record
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys
from onestory.shared.postgres import database

MIGRATION = Path(onestory.record.__file__).parent / "migrations" / "0008_local_identifiers.sql"
HELD = "select system, value, person_key, shared_id, event_id, organisation from patient_identifier order by 1, 2, 3"


def numbered(*identifiers: dict[str, str]) -> str:
    return f'"identifier":{json.dumps(list(identifiers))}'


def test_what_was_there_before_the_table_was_is_in_it_as_if_it_came_now(record: Record, keys: Keys) -> None:
    mrn, nhs = {"system": "http://h.example/mrn", "value": "M1"}, {"system": NHS_NUMBER_SYSTEM, "value": "9990000018"}
    odd = [{"system": "http://h.example/x"}, {"value": "M2"}, {"system": "http://h.example/y", "value": "v" * 513}]
    said = [
        statement(keys, 1, person(1), [Said("Patient", "p", numbered(mrn, nhs, mrn, *odd), 1)]),
        statement(keys, 2, person(2), [Said("Patient", "q", '"active":true', 1)]),
        statement(keys, 3, person(1), [Said("Patient", "p", None, 2), Said("Condition", "c", numbered(mrn), 2)]),
    ]
    record.project(keys, said)
    held = record.rows(HELD)
    assert [row[:2] for row in held] == [("http://h.example/mrn", "M1")]

    backfill = MIGRATION.read_text().partition("insert into")
    with database.connect(record.dsn, "record") as connection:
        connection.execute(b"truncate patient_identifier")
        connection.execute((backfill[1] + backfill[2]).encode())

    assert record.rows(HELD) == held
