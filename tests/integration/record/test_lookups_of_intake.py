"""The questions of intake to the record: the source's own Patients, and where its other resources are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import psycopg
from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, Said, at, statement
from tests.integration.record.test_directory import organisation

from onestory.intake.domain.earlier import (
    IdentifiedPatient,
    OwnPatient,
    OwnReference,
    SystemQuestion,
    SystemResources,
)
from onestory.intake.domain.replacement import replacement_of, retiring_events
from onestory.intake.store import own_patients, own_targets, resources_of_system
from onestory.record.person import store
from onestory.shared.events import Source, rank_of
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


def of_old_system(record: Record, keys: Keys, about: PersonIdentifier, moment: int) -> list[SystemResources]:
    """What the practice's system has about a person, when another one replaces it at this moment."""
    question = SystemQuestion(keys.person_key(about), PRACTICE.system, rank_of(None, at(moment)), at(moment))
    return [*ask(record, lambda database: resources_of_system(database, question, PRACTICE.organisation))]


def test_what_would_be_replaced_is_what_the_retiring_events_retire(record: Record, keys: Keys) -> None:
    problem = '"code":{"text":"Gout"}'
    before = [Said("Patient", "p1", MRN, 1), Said("Condition", "c1", problem, 1)]
    since = [Said("Patient", "p1", MRN, 2), Said("Condition", "c2", problem, 2), Said("Condition", "c3", problem, 9)]
    record.project(keys, [statement(keys, 1, UNNUMBERED, before), statement(keys, 2, AMINA, since)])
    record.project(keys, [statement(keys, 3, BEN, [Said("Condition", "c4", problem, 1)])])

    found = of_old_system(record, keys, AMINA, 5)
    assert sorted(found, key=str) == [
        SystemResources("Condition", AMINA, 1, 1),
        SystemResources("Condition", UNNUMBERED, 1, 0),
        SystemResources("Patient", AMINA, 1, 0),
    ]

    new = statement(keys, 4, AMINA, [], source=Source(PRACTICE.organisation, "new"), recorded=5, published=5)
    replacement = replacement_of(PRACTICE.system, found, {"Patient"}, {"Condition"})
    record.project(keys, [*retiring_events(new, replacement)])

    assert (replacement.replaced, replacement.staying) == ({"Condition": 2}, {"Condition": 1, "Patient": 1})
    left = of_old_system(record, keys, AMINA, 5)
    assert left == [SystemResources("Condition", AMINA, 0, 1), SystemResources("Patient", AMINA, 1, 0)]


def test_an_identity_is_retired_with_its_own_number_and_not_with_one_that_replaces_it(
    record: Record, keys: Keys
) -> None:
    problem = Said("Condition", "c1", '"code":{"text":"Gout"}', 1)
    link = f'"link":[{{"type":"replaces","other":{{"reference":"Patient/{BEN.value}"}}}}]'
    record.project(keys, [statement(keys, 1, UNNUMBERED, [Said("Patient", "p1", MRN, 1), problem])])
    record.project(keys, [statement(keys, 2, BEN, [Said("Patient", "p1", MRN, 2)])])
    authority = Source("X26", "pds")
    alias = statement(keys, 3, AMINA, [Said("Patient", "a", link, 3)], source=authority)
    record.project(keys, [alias], authorities=["X26"])

    assert of_old_system(record, keys, AMINA, 5) == [
        SystemResources("Condition", None, 1, 0),
        SystemResources("Patient", None, 1, 0),
    ]
    assert sorted(of_old_system(record, keys, BEN, 5), key=str) == [
        SystemResources("Condition", UNNUMBERED, 1, 0),
        SystemResources("Patient", BEN, 1, 0),
    ]
