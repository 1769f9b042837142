"""References in stored bytes are found without parsing, and followed in a bounded number of steps."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from onestory.record.read.referenced import (
    NOTHING_REFERENCED,
    ReferencedDirectory,
    directory_addresses,
    is_unchanged,
    referenced_directory,
)
from onestory.shared.fhir.references import literal_references

FHIR = "https://care.example/fhir"
ID, PERSON_ID = "a" * 26, f"{'b' * 26}-{'a' * 26}"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (f'{{"reference":"Device/{ID}"}}', {("Device", ID)}),
        (f'{{"reference" : "Device/{PERSON_ID}"}}', {("Device", PERSON_ID)}),
        (f'{{"reference":"{FHIR}/Device/{ID}/_history/3"}}', {("Device", ID)}),
        (f'{{"reference":"https://other.example/fhir/Device/{ID}"}}', set()),
        (f'{{"reference":"#Device/{ID}"}}', set()),
        ('{"reference":"urn:uuid:0"}', set()),
        (f'{{"text":"\\"reference\\":\\"Device/{ID}\\""}}', set()),
        (f'{{"display":"Device/{ID}"}}', set()),
        ("", set()),
    ],
)
def test_a_literal_reference_to_a_resource_here_is_found(content: str, found: set[tuple[str, str]]) -> None:
    assert literal_references([content.encode()], FHIR) == found


def test_only_ids_of_the_directory_are_looked_up() -> None:
    content = f'[{{"reference":"Device/{PERSON_ID}"}},{{"reference":"Device/{ID}"}},{{"reference":"Patient/1"}}]'

    assert directory_addresses([content.encode(), content.encode()], FHIR) == {("Device", ID)}


class Directory:
    """A directory in which each Organization is part of the next one. It counts the queries."""

    def __init__(self, size: int) -> None:
        self.ids = [f"{chr(97 + number // 8) * 13}{chr(97 + number % 8) * 13}" for number in range(size)]
        self.queries = 0

    async def fetch(self, _sql: str, _types: list[str], ids: list[str], *_: Any) -> list[Any]:
        self.queries += 1
        return [
            ("Organization", each, UUID(int=self.ids.index(each)), self._content(each))
            for each in ids
            if each in self.ids
        ]

    def _content(self, shared_id: str) -> bytes:
        following = self.ids[self.ids.index(shared_id) + 1 :][:1] or ["q" * 26]
        return b'{"partOf":{"reference":"Organization/%b"}}' % following[0].encode()

    def follow(self, *addresses: tuple[str, str]) -> ReferencedDirectory:
        queries: Any = self
        return asyncio.run(referenced_directory(queries, set(addresses), FHIR))


def test_references_of_the_directory_are_followed_and_what_is_missing_is_remembered() -> None:
    directory = Directory(3)

    found = directory.follow(("Organization", directory.ids[0]))

    assert list(found.entries) == directory.ids
    assert found.versions == {
        **{("Organization", each): UUID(int=place) for place, each in enumerate(directory.ids)},
        ("Organization", "q" * 26): None,
    }
    assert directory.queries == 4


def test_a_long_chain_is_followed_for_five_steps_only() -> None:
    directory = Directory(40)

    assert len(directory.follow(("Organization", directory.ids[0])).entries) == 5
    assert directory.queries == 5


def test_nothing_is_asked_where_nothing_is_referenced() -> None:
    directory = Directory(1)
    queries: Any = directory

    assert directory.follow() == NOTHING_REFERENCED
    assert asyncio.run(is_unchanged(queries, {}))
    assert directory.queries == 0
