"""The record keeps names and birth dates in the form that the people search uses."""

from __future__ import annotations

from tests.integration.record.record import Record
from tests.integration.record.statements import Said, person, statement

from onestory.record.person import store as person_store
from onestory.shared.identity import Keys
from onestory.shared.postgres import database

AMINA = person(1)
NAMED = '"name":[{"family":"Okafor-Brown","given":["Zoë"]}],"birthDate":"1941-03-02"'
RENAMED = '"name":[{"family":"Green"}],"birthDate":"1941-03-02"'


def kept(record: Record) -> list[tuple[object, ...]]:
    return record.rows("select birth_date, forms from patient_name order by event_id")


def test_every_patient_statement_is_kept_with_its_names(record: Record, keys: Keys) -> None:
    said = [Said("Patient", "a", NAMED, 1), Said("Condition", "b", NAMED, 1)]

    record.project(
        keys, [statement(keys, 1, AMINA, said)], [statement(keys, 2, AMINA, [Said("Patient", "a", None, 2)])]
    )

    assert kept(record) == [("1941-03-02", ["brown", "okafor", "okaforbrown", "zoe"])]


def test_what_was_there_before_is_filled_in_once(record: Record, keys: Keys) -> None:
    record.project(keys, [statement(keys, 1, AMINA, [Said("Patient", "a", NAMED, 1)])])
    before = kept(record)
    with database.connect(record.dsn, "record") as connection:
        connection.execute("delete from patient_name")
        connection.execute("insert into unfilled values ('patient_name')")
    # One statement arrives before the backfill runs.
    record.project(keys, [statement(keys, 2, AMINA, [Said("Patient", "a", RENAMED, 2)])])

    with database.connect(record.dsn, "record") as connection:
        assert person_store.backfill_patient_names(connection) == 2
        assert person_store.backfill_patient_names(connection) == 0

    assert kept(record) == [*before, ("1941-03-02", ["green"])]
