"""The directory follows the same order rule as the record."""

from __future__ import annotations

import asyncio
import itertools
import random
import string
from dataclasses import replace
from uuid import UUID

import pytest
from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, at

from onestory.record.projector import store as projector_store
from onestory.record.search.directory_store import (
    DirectoryResources,
    directory_resources,
    with_directory_contents,
)
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.events import DirectoryChanged, Entry, Operation
from onestory.shared.identity import Keys
from onestory.shared.kafka import reader
from onestory.shared.postgres import database
from onestory.shared.postgres.database import Database, create_pool


def organisation(
    keys: Keys, event_id: int, text: str, recorded: int, published: int = 0, local_id: str = "o1"
) -> DirectoryChanged:
    """A source's statement about an organisation."""
    shared_id = keys.resource_hash(PRACTICE.organisation, PRACTICE.system, "Organization", local_id)
    content = f'{{"resourceType":"Organization","id":"{shared_id}","meta":{{}},"name":"{text}"}}'
    entry = Entry("Organization", local_id, shared_id, at(recorded), Operation.ASSERT, content.encode())
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


# Random letters, because PostgreSQL compresses repeated ones below the limit of an index.
LONG = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=6_000))


def directory_search(record: Record, identifiers: list[str] | None, max_bytes: int = 1_000_000) -> DirectoryResources:
    """The Organizations with one of these identifier values."""

    async def search() -> DirectoryResources:
        async with create_pool(record.dsn, "record") as pool:
            return await directory_resources(Database(pool), "Organization", None, identifiers, 10, max_bytes)

    return asyncio.run(search())


def page_contents(record: Record, found: DirectoryResources, max_bytes: int) -> DirectoryResources:
    """The same resources, after their contents are read."""

    async def read() -> DirectoryResources:
        async with create_pool(record.dsn, "record") as pool:
            heads = [entry._replace(content=None) for entry in found.entries]
            return await with_directory_contents(Database(pool), heads, max_bytes)

    return asyncio.run(read())


def test_a_long_identifier_is_stored_and_the_others_of_its_resource_are_searched(record: Record, keys: Keys) -> None:
    stated = f'A","identifier":[{{"value":"{LONG}"}},{{"value":"{"v" * 512}"}},{{"value":"w"}}],"language":"en'
    record.project(keys, [organisation(keys, 1, stated, 1)])

    assert record.rows("select event_id from directory_current") == [(UUID(int=1),)]
    for values, count in ((["w"], 1), (["v" * 512], 1), ([LONG], 0), (["x"], 0), (None, 1)):
        assert len(directory_search(record, values).entries) == count, values
    found = directory_search(record, ["w"])
    (content,) = record.rows("select content from directory_statement")
    assert found.entries[0].content == content[0]
    assert found.total_bytes == len(content[0])
    assert [entry.content for entry in directory_search(record, ["w"], 6_000).entries] == [None]
    assert page_contents(record, found, 1_000_000) == DirectoryResources(found.entries, len(content[0]))
    assert [entry.content for entry in page_contents(record, found, 6_000).entries] == [None]


def test_a_message_that_postgresql_refuses_is_parked_and_the_others_are_written(record: Record, keys: Keys) -> None:
    others = [organisation(keys, number, "Harbour", number, local_id=f"o{number}") for number in range(2, 7)]
    refused = organisation(keys, 1, LONG, 1)
    with database.connect(record.dsn, "record") as connection:
        connection.execute("create index of_contents on directory_statement (content)")
    try:
        record.project(keys, [others[0], refused, *others[1:]], [refused])
    finally:
        with database.connect(record.dsn, "record") as connection:
            connection.execute("drop index of_contents")

    assert record.rows("select event_id from directory_statement order by 1") == [
        (UUID(int=number),) for number in range(2, 7)
    ]
    assert len(record.rows("select from event")) == 5
    assert record.rows('select reason, "offset" from parked order by 2') == [
        ("refused-by-database", 1),
        ("refused-by-database", 6),
    ]
    assert LONG[:50] not in str(record.rows("select explanation from parked"))


def test_a_refused_value_is_no_lost_database(record: Record, keys: Keys) -> None:
    for query, error in (
        ("select repeat('x', 2000000000)", Unprocessable),
        ("select '1e999999'::float8", Unprocessable),
        ("select pg_terminate_backend(pg_backend_pid())", Unavailable),
    ):
        with record.connect(keys) as connected, pytest.raises(error), reader.transaction(connected) as transaction:
            transaction.execute(query)
