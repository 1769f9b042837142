"""What intake asks the record: the source's own Patients, and where its other resources are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import psycopg
from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, Said, statement
from tests.integration.record.test_directory import organisation

from onestory.intake.domain.earlier import IdentifiedPatient, OwnPatient, OwnReference
from onestory.intake.store import own_patients, own_targets
from onestory.record.person import store
from onestory.shared.events import Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier, provisional_identity
from onestory.shared.postgres.database import Database, create_pool

AMINA = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000018")
BEN = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000026")
UNNUMBERED = provisional_identity(PRACTICE.organisation, PRACTICE.system, "p1")
WARD = Source("RZ1", "ward")
FINISHED = '"status":"finished"'
MRN = '"identifier":[{"system":"urn:mrn","value":"77"}]'

Answer = TypeVar("Answer")


def ask(record: Record, question: Callable[[Database], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        async with create_pool(record.dsn, "record") as pool:
            return await question(Database(pool))

    return asyncio.run(run())


def patients(
    record: Record, keys: Keys, *questions: OwnPatient | IdentifiedPatient, source: Source = PRACTICE
) -> list[PersonIdentifier | None]:
    answers = ask(record, lambda database: own_patients(database, questions, source, keys))
    return [answers[question] for question in questions]


def target(record: Record, keys: Keys, about: PersonIdentifier, kind: str, local_id: str) -> str | None:
    question = OwnReference(keys.person_key(about), kind, local_id)
    answers = ask(record, lambda database: own_targets(database, {question: "computed"}, PRACTICE, keys))
    return answers[question]


def stored_id(keys: Keys, about: PersonIdentifier, kind: str, local_id: str) -> str:
    return keys.shared_id(keys.person_key(about), PRACTICE.organisation, PRACTICE.system, kind, local_id)


def test_a_migration_removes_former_identifiers(record: Record, keys: Keys) -> None:
    former = (
        '"identifier":[{"use":"old","system":"urn:mrn","value":"78"},{"use":"usual","system":"urn:mrn","value":"79"}]'
    )
    record.project(keys, [statement(keys, 1, UNNUMBERED, [Said("Patient", "p1", former, 1)])])
    values = "select value from record.patient_identifier where value in ('78', '79') order by value"
    migration = Path(store.__file__).parent.parent / "migrations" / "0021_former_identifiers.sql"
    with psycopg.connect(record.dsn) as connection:
        connection.execute("set search_path = record")
        assert connection.execute(values).fetchall() == [("79",)]
        # An earlier release stored the former identifier too.
        connection.execute(
            """insert into patient_identifier
               select system, '78', person_key, shared_id, event_id, organisation from patient_identifier
               where value = '79'"""
        )
        connection.execute(migration.read_bytes())

        assert connection.execute(values).fetchall() == [("79",)]


def test_an_own_patient_is_the_person_whom_its_source_states_now(record: Record, keys: Keys) -> None:
    by_id, by_number = OwnPatient("p1"), IdentifiedPatient("urn:mrn", "77")
    record.project(keys, [statement(keys, 1, UNNUMBERED, [Said("Patient", "p1", MRN, 1)])])
    assert patients(record, keys, by_id, by_number, OwnPatient("p2")) == [UNNUMBERED, UNNUMBERED, None]
    assert patients(record, keys, by_id, by_number, source=WARD) == [None, None]

    record.project(keys, [statement(keys, 2, AMINA, [Said("Patient", "p1", MRN, 2)])])
    assert patients(record, keys, by_id, by_number) == [AMINA, AMINA]

    record.project(keys, [statement(keys, 3, BEN, [Said("Patient", "p2", MRN, 3)])])
    assert patients(record, keys, by_id, by_number) == [AMINA, None]

    record.project(keys, [statement(keys, 4, AMINA, [Said("Patient", "p1", None, 4)])])
    assert patients(record, keys, by_id, by_number) == [None, BEN]


def test_a_reference_leads_to_the_place_that_was_stated_last(record: Record, keys: Keys) -> None:
    in_directory = keys.resource_hash(PRACTICE.organisation, PRACTICE.system, "Organization", "o1")
    assert target(record, keys, AMINA, "Organization", "o1") == "computed"

    record.project(keys, [organisation(keys, 1, "Harbour", 1)])
    assert target(record, keys, AMINA, "Organization", "o1") == in_directory

    record.project(keys, [statement(keys, 2, AMINA, [Said("Organization", "o1", '"name":"Harbour"', 2)])])
    assert target(record, keys, AMINA, "Organization", "o1") == stored_id(keys, AMINA, "Organization", "o1")
    assert target(record, keys, BEN, "Organization", "o1") == in_directory


def test_a_reference_follows_the_resource_to_another_identity_and_to_no_other_person(
    record: Record, keys: Keys
) -> None:
    record.project(
        keys, [statement(keys, 1, UNNUMBERED, [Said("Patient", "p1", MRN, 1), Said("Encounter", "e1", FINISHED, 1)])]
    )
    record.project(keys, [statement(keys, 2, AMINA, [Said("Patient", "p1", MRN, 2)])])

    assert target(record, keys, AMINA, "Encounter", "e1") == stored_id(keys, UNNUMBERED, "Encounter", "e1")
    assert target(record, keys, BEN, "Encounter", "e1") is None

    record.project(keys, [statement(keys, 3, UNNUMBERED, [Said("Encounter", "e1", None, 3)])])
    assert target(record, keys, BEN, "Encounter", "e1") == "computed"
