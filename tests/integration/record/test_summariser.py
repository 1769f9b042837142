"""Each changed person gets one summary for a burst of changes. An older summary never follows a newer one."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from uuid import UUID

from prometheus_client import CollectorRegistry
from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, Said, arrivals, at, person, statement
from tests.integration.record.test_aliases import FIRST, PDS, SECOND, replacing
from tests.waiting import until

from onestory.record.freshness.service import FreshnessService
from onestory.record.merge.rules import merge_rules
from onestory.record.person.identifiers import PersonRef
from onestory.record.person.load import Demographics
from onestory.record.read.access import unfiltered_view
from onestory.record.read.person_reader import PersonReader
from onestory.record.summary import store as summary_store
from onestory.record.summary.publisher import QUIET_PERIOD, Summariser
from onestory.record.summary.service import Summaries
from onestory.record.summary.store import QuietPeriod
from onestory.shared.events import DirectoryChanged, Entry, Operation, RecordChanged, SummaryChanged
from onestory.shared.identity import Keys, provisional_identity
from onestory.shared.kafka.codec import create_codec
from onestory.shared.postgres import database as postgres_database
from onestory.shared.postgres.database import Database, create_pool
from onestory.shared.settings import Settings

# The same rules with shorter times, so that tests do not wait for seconds.
IMPATIENT = QUIET_PERIOD._replace(quiet_in_bulk=timedelta(seconds=1), recent=timedelta(0))
ALLERGY = '"code":{"text":"Penicillin"},"clinicalStatus":{"coding":[{"code":"active"}]}'


@asynccontextmanager
async def summarising(record: Record, patience: QuietPeriod = IMPATIENT) -> AsyncIterator[Summariser]:
    """A summariser of this record that does not run yet."""
    async with create_pool(record.dsn, "record") as pool:
        database = Database(pool)
        yield Summariser(
            PersonReader(database, Demographics((), ())),
            Summaries(database, FreshnessService(database, Settings()), merge_rules(), "https://care.example/fhir"),
            partial(postgres_database.connect, record.dsn, "record"),
            create_codec(),
            CollectorRegistry(),
            patience,
        )


def summarise(record: Record) -> None:
    """Run a summariser until no person waits for a summary."""
    stop = threading.Event()

    async def run() -> None:
        async with summarising(record) as made:
            await made.run(stop)

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    try:
        until(lambda: waiting(record) == 0)
    finally:
        stop.set()
        thread.join()


def waiting(record: Record) -> int:
    """The number of persons who wait for a summary."""
    return int(record.rows("select count(*) from person_state where due_since is not null")[0][0])


def sent(record: Record) -> list[SummaryChanged]:
    """The summaries in the outbox, in order."""
    rows = record.rows("select value from outbox where topic = 'care.summary' and value is not null order by id")
    events = [create_codec().decode(value) for (value,) in rows]
    return [event for event in events if isinstance(event, SummaryChanged)]


def removed(record: Record) -> list[str]:
    """The person keys of the tombstones in the outbox, in order."""
    rows = record.rows(
        """select convert_from(key, 'utf8'), headers ->> 'ce_type', headers ->> 'ce_subject' from outbox
           where topic = 'care.summary' and value is null order by id"""
    )
    assert all((kind, subject) == ("uk.nhs.onestory.summary-removed.v1", key) for key, kind, subject in rows)
    return [key for key, _, _ in rows]


def allergy(keys: Keys, event_id: int, number: int, text: str = ALLERGY) -> RecordChanged:
    return statement(keys, event_id, person(number), [Said("AllergyIntolerance", f"a{number}", text, event_id)])


def test_a_person_who_changed_has_one_summary_that_says_so(record: Record, keys: Keys) -> None:
    record.project(keys, [allergy(keys, 1, 1)], [allergy(keys, 2, 1)], [allergy(keys, 3, 1)])

    summarise(record)

    (event,) = sent(record)
    assert event.person == person(1)
    assert event.position == "r0-2"
    assert {"48765-2", "patient"} <= set(event.changed)
    assert b"Penicillin" in event.document


def test_what_says_nothing_new_is_not_sent_again(record: Record, keys: Keys) -> None:
    record.project(keys, [allergy(keys, 1, 1)])
    summarise(record)

    record.project_arrivals(record.projector(keys), keys, arrivals(keys, [allergy(keys, 1, 1)], 1))
    assert waiting(record) == 1
    summarise(record)

    assert len(sent(record)) == 1


def test_only_the_part_that_changed_is_named(record: Record, keys: Keys) -> None:
    record.project(keys, [allergy(keys, 1, 1)])
    summarise(record)

    record.project(keys, [allergy(keys, 2, 1, ALLERGY.replace("Penicillin", "Penicillin V"))])
    summarise(record)

    assert [set(event.changed) for event in sent(record)][1] == {"48765-2"}


def test_a_load_costs_less_than_two_summaries_for_each_person(record: Record, keys: Keys) -> None:
    people = 100
    events = [
        statement(keys, number, person(number % people), [Said("Condition", f"c{number}", f'"a":{number}', number)])
        for number in range(1, 3001)
    ]
    random.Random(1).shuffle(events)
    stop = threading.Event()

    async def run() -> None:
        async with summarising(record, QUIET_PERIOD) as made:
            await made.run(stop)

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    try:
        record.project(keys, *[events[first : first + 200] for first in range(0, len(events), 200)])
        until(lambda: waiting(record) == 0)
    finally:
        stop.set()
        thread.join()

    told = sent(record)
    assert {event.person for event in told} == {person(number) for number in range(people)}
    assert len(told) <= people * 1.5


def test_whoever_changed_in_between_is_not_overwritten(record: Record, keys: Keys) -> None:
    record.project(keys, [allergy(keys, 1, 1)])
    key = keys.person_key(person(1))

    async def slow() -> None:
        async with create_pool(record.dsn, "record") as pool:
            view = await unfiltered_view(PersonReader(Database(pool), Demographics((), ())), PersonRef(key))
            record.project(keys, [allergy(keys, 2, 1, ALLERGY.replace("Penicillin", "Aspirin"))])
            with record.connect(keys) as connection, connection.transaction():
                assert not summary_store.lock_if_unchanged(connection, view.person.versions)

    asyncio.run(slow())
    summarise(record)

    assert [b"Aspirin" in event.document for event in sent(record)] == [True]


def test_a_sent_summary_has_no_withheld_contact_details(record: Record, keys: Keys) -> None:
    about = provisional_identity(PRACTICE.organisation, PRACTICE.system, "p1")
    phone = '"telecom":[{"system":"phone","value":"07700900123"}]'
    for event_id, meta in ((1, b'"meta":{}'), (2, b'"meta":{"security":[{"code":"R"}]}')):
        stated = statement(keys, event_id, about, [Said("Patient", "p1", phone, event_id)], published=event_id)
        (entry,) = stated.entries
        labelled = dataclasses.replace(entry, content=(entry.content or b"").replace(b'"meta":{}', meta))
        record.project(keys, [dataclasses.replace(stated, entries=(labelled,))])
        summarise(record)

    assert [b"07700900123" in event.document for event in sent(record)] == [True, False]


def test_two_summarisers_send_each_summary_once(record: Record, keys: Keys) -> None:
    record.project(keys, [allergy(keys, number, number) for number in range(1, 30)])
    others = [threading.Thread(target=summarise, args=[record]) for _ in range(2)]

    for each in others:
        each.start()
    for each in others:
        each.join()

    assert len(sent(record)) == 29


def test_joined_numbers_each_have_the_summary_of_both_and_lose_it_with_the_join(record: Record, keys: Keys) -> None:
    def said(event_id: int) -> Sequence[RecordChanged]:
        text = '"code":{"text":"Penicillin"}'
        return [statement(keys, event_id, FIRST, [Said("AllergyIntolerance", "a", text, event_id)], source=PRACTICE)]

    record.project(keys, said(1), [replacing(keys, 2, SECOND, FIRST)], authorities=["X26"])
    summarise(record)
    joined = {event.person: event.document for event in sent(record)}
    assert {identifier: b"Penicillin" in document for identifier, document in joined.items()} == {
        FIRST: True,
        SECOND: True,
    }

    record.project(keys, [statement(keys, 3, SECOND, [Said("Patient", SECOND.value, None, 9)], source=PDS)])
    summarise(record)

    assert [event.person for event in sent(record)[2:]] == [FIRST]
    assert b"Penicillin" in sent(record)[2].document
    assert removed(record) == [keys.person_key(SECOND)]


def test_a_person_of_whom_nothing_is_left_has_one_tombstone_until_something_is_stated_again(
    record: Record, keys: Keys
) -> None:
    taken_back = statement(keys, 2, person(1), [Said("AllergyIntolerance", "a1", None, 2)])
    record.project(keys, [allergy(keys, 1, 1)])
    summarise(record)
    assert removed(record) == []

    record.project(keys, [taken_back])
    summarise(record)
    record.project_arrivals(record.projector(keys), keys, arrivals(keys, [taken_back], 9))
    summarise(record)
    assert removed(record) == [keys.person_key(person(1))]
    assert len(sent(record)) == 1

    record.project(keys, [allergy(keys, 3, 1)])
    summarise(record)
    assert "patient" in sent(record)[1].changed


def test_a_medicine_that_changes_in_the_directory_makes_a_new_summary_of_who_takes_it(
    record: Record, keys: Keys
) -> None:
    def medication(event_id: int, name: str, local_id: str = "m") -> DirectoryChanged:
        shared_id = keys.resource_hash(PRACTICE.organisation, PRACTICE.system, "Medication", local_id)
        content = f'{{"resourceType":"Medication","id":"{shared_id}","meta":{{}},"code":{{"text":"{name}"}}}}'
        entry = Entry("Medication", local_id, shared_id, at(event_id), Operation.ASSERT, content.encode())
        return DirectoryChanged(UUID(int=event_id), PRACTICE, None, at(event_id), at(event_id), "test", entry)

    shared_id = medication(1, "").entry.shared_id
    taken = f'"status":"active","medicationReference":{{"reference":"Medication/{shared_id}"}}'
    record.project(keys, [statement(keys, 2, person(1), [Said("MedicationStatement", "s", taken, 2)])])
    record.project(keys, [allergy(keys, 3, 2)])
    summarise(record)

    for event in (medication(4, "Warfarin 3 mg"), medication(5, "Warfarin 5 mg"), medication(6, "Other", "n")):
        record.project(keys, [event])
        summarise(record)

    told = [(event.person, event.document) for event in sent(record)]
    assert {each for each, _ in told[:2]} == {person(1), person(2)}
    assert [each for each, _ in told[2:]] == [person(1), person(1)]
    assert b"Warfarin 3 mg" in told[2][1]
    assert b"Warfarin 5 mg" in told[3][1]


def test_a_summary_is_made_again_when_its_time_has_passed(record: Record, keys: Keys) -> None:
    record.project(keys, [allergy(keys, 1, 1)])
    summarise(record)
    with postgres_database.connect(record.dsn, "record") as connection:
        connection.execute("update summary set valid_until = now() - interval '1 second', digest = 'of yesterday'")

    with postgres_database.connect(record.dsn, "record") as connection:
        summary_store.requeue_expired(connection, 10)
    assert waiting(record) == 1
    summarise(record)

    assert len(sent(record)) == 2


def test_a_summary_that_has_run_out_and_says_the_same_is_sent_again_with_its_new_time(
    record: Record, keys: Keys
) -> None:
    record.project(keys, [acute(keys)])
    summarise(record)
    with postgres_database.connect(record.dsn, "record") as connection:
        connection.execute("update summary set valid_until = now() - interval '1 second'")
        connection.commit()
        summary_store.requeue_expired(connection, 10)

    summarise(record)

    first, again = sent(record)
    assert again.digest == first.digest
    assert again.changed == ()
    assert again.valid_until == first.valid_until


def test_what_is_not_sent_again_holds_no_longer_than_what_was_sent(record: Record, keys: Keys) -> None:
    record.project(keys, [acute(keys)])
    summarise(record)
    with postgres_database.connect(record.dsn, "record") as connection:
        connection.execute("update summary set valid_until = now() + interval '1 hour'")

    record.project_arrivals(record.projector(keys), keys, arrivals(keys, [acute(keys)], 1))
    summarise(record)

    assert len(sent(record)) == 1
    assert record.rows("select valid_until < now() + interval '2 hours' from summary") == [(True,)]


def acute(keys: Keys) -> RecordChanged:
    """A medicine that is acute. It leaves the summary one year after today."""
    course = '"courseOfTherapyType":{"coding":[{"code":"acute"}]}'
    text = f'"status":"active","intent":"order","medicationCodeableConcept":{{"text":"Amoxicillin"}},{course}'
    return statement(keys, 1, person(1), [Said("MedicationRequest", "m", text, 1)])


def test_summaries_that_run_out_together_are_taken_step_by_step_and_nobody_is_waited_for(
    record: Record, keys: Keys
) -> None:
    record.project(keys, [allergy(keys, number, number) for number in range(1, 5)])
    summarise(record)
    record.rows("update summary set valid_until = now() - interval '1 second' returning 1")

    with (
        postgres_database.connect(record.dsn, "record") as writer,
        postgres_database.connect(record.dsn, "record") as connection,
    ):
        writer.execute("select from person_state where person_key = %s for update", [keys.person_key(person(1))])
        connection.execute("set lock_timeout = '2s'")
        taken = [summary_store.requeue_expired(connection, 2) for _ in range(3)]
        connection.commit()
        writer.rollback()
        left = summary_store.requeue_expired(connection, 2)

    assert (taken, left) == ([2, 1, 0], 1)
    assert waiting(record) == 4
