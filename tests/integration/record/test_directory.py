"""The directory follows the same order rule as the record."""

from __future__ import annotations

import itertools
from dataclasses import replace
from uuid import UUID

from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, at

from onestory.shared.events import DirectoryChanged, Entry, Operation
from onestory.shared.identity import Keys


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
