"""The directory follows the same order rule as the record."""

from __future__ import annotations

import itertools
from dataclasses import replace
from uuid import UUID

from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, at

from onestory.record.projector import store as projector_store
from onestory.shared.events import DirectoryChanged, Entry, Operation
from onestory.shared.identity import Keys
from onestory.shared.postgres import database


def organisation(keys: Keys, event_id: int, text: str, recorded: int, published: int = 0) -> DirectoryChanged:
    """A source's statement about an organisation."""
    shared_id = keys.resource_hash(PRACTICE.organisation, PRACTICE.system, "Organization", "o1")
    content = f'{{"resourceType":"Organization","id":"{shared_id}","meta":{{}},"name":"{text}"}}'
    entry = Entry("Organization", "o1", shared_id, at(recorded), Operation.ASSERT, content.encode())
    return DirectoryChanged(UUID(int=event_id), PRACTICE, None, at(recorded), at(published), "test", entry)


def test_the_greatest_key_stands_in_every_order_and_with_repetitions(record: Record, keys: Keys) -> None:
    said = [
        organisation(keys, 1, "old", 1),
        organisation(keys, 2, "new", 3, published=5),
        organisation(keys, 3, "newest", 3, published=7),
    ]
    said.append(replace(said[1], published_at=at(2)))

    for order in itertools.permutations(said):
        record.empty()
        record.project(keys, order[:2], order[2:])

        assert record.rows("select event_id from directory_current") == [(UUID(int=3),)]
        assert record.rows("select count(*) from directory_statement") == [(3,)]


def test_a_resource_that_names_a_person_is_parked(record: Record, keys: Keys) -> None:
    record.project(keys, [organisation(keys, 1, "Harbour", 1), organisation(keys, 2, "Home of 999 000 0018", 2)])

    assert record.rows("select event_id from directory_current") == [(UUID(int=1),)]
    assert record.rows("select reason from parked") == [("person-in-directory",)]
    assert "999 000 0018" not in str(record.rows("select explanation from parked"))


def test_persons_that_an_earlier_release_let_into_the_directory_are_removed_once(record: Record, keys: Keys) -> None:
    record.project(keys, [organisation(keys, 1, "Harbour", 1), organisation(keys, 2, "Harbour 2", 2)])
    with database.connect(record.dsn, "record") as connection:
        connection.execute(
            """update directory_statement
               set content = replace(convert_from(content, 'UTF8'), 'Harbour 2', '9990000018')::bytea
               where event_id = %s""",
            [UUID(int=2)],
        )
        connection.execute("insert into unfilled values ('directory_persons')")

    with database.connect(record.dsn, "record") as connection:
        assert projector_store.remove_persons_from_directory(connection) == 1
        assert projector_store.remove_persons_from_directory(connection) == 0

    assert record.rows("select event_id from directory_current") == [(UUID(int=1),)]
    assert record.rows("select event_id from directory_statement") == [(UUID(int=1),)]
