"""Messages of `care.record` become what the parties of open referrals have to be told of the person."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple
from uuid import UUID

import psycopg

from onestory.referral.domain.person import Known, PersonStatement, known, news, person_statements
from onestory.referral.gauges import Gauges
from onestory.referral.store import persons
from onestory.referral.unusable import note, note_reused
from onestory.shared.alias import Link, Succession, joined, successions
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.consumer.log import Record
from onestory.shared.contracts.topics import RECORD
from onestory.shared.errors import Unprocessable
from onestory.shared.identity import Keys

_SOURCE = re.compile(rb"/organisations/([A-Z0-9]+)/")


class Batch(NamedTuple):
    """What authorities say of people, and why the rest cannot be used: (message, reason)."""

    said: list[PersonStatement]
    unusable: list[tuple[Arrival, str]]


class Persons:
    """Follows what demographic authorities say of people. What cannot be used is counted and logged."""

    def __init__(self, keys: Keys, authorities: Collection[str], gauges: Gauges) -> None:
        self._keys = keys
        self._authorities = frozenset(authorities)
        self._gauges = gauges

    def passes_by(self, topic: str, record: Record) -> bool:
        """Whether a message says by its header that it is nobody's word that counts: nearly all of `care.record`."""
        source = next((text for name, text in record.headers if name == "ce_source"), None)
        match = _SOURCE.match(source or b"") if topic == RECORD else None
        return match is not None and match[1].decode() not in self._authorities

    def prepare(self, arrivals: Sequence[Arrival]) -> Batch:
        """Which messages say something that matters here, and which cannot be read."""
        batch = Batch([], [])
        for arrival in arrivals:
            try:
                batch.said.extend(list(person_statements(arrival, self._keys, self._authorities)))
            except Unprocessable as error:
                batch.unusable.append((arrival, error.issues[0].code))
        return batch

    def write(self, transaction: psycopg.Connection, batch: Batch) -> Callable[[], None]:
        """Know what is known now, and have told what is new in it."""
        reused: set[UUID] = set()
        if batch.said:
            persons.lock(transaction)
            kept = persons.keep(transaction, _each_once(batch.said))
            reused = {said.event_id for said in batch.said if said[:3] not in kept}
            changed = _changed(transaction, {resource_hash for _, resource_hash, _ in kept})
            persons.put(transaction, {person_key: after for person_key, (_, after) in changed.items()})
            for person_key, (before, after) in changed.items():
                for each in news(before, after):
                    persons.have_told(transaction, person_key, each, after.practice)

        def observe() -> None:
            note(self._gauges, batch.unusable)
            note_reused(self._gauges, RECORD, reused)

        return observe


def _changed(transaction: psycopg.Connection, hashes: Collection[str]) -> dict[str, tuple[Known, Known]]:
    """What was known before and is known now, of everybody of whom something else is known now."""
    person_keys, among = _around(transaction, persons.persons_of(transaction, hashes))
    before, standing = persons.known(transaction, person_keys), persons.standing(transaction, person_keys)
    found = {}
    for person_key in person_keys:
        former = before.get(person_key, Known())
        same = joined(among, person_key)
        after = known(former, (said for each in same for said in standing.get(each, ())))
        if after != former:
            found[person_key] = (former, after)
    return found


def _around(transaction: psycopg.Connection, person_keys: Collection[str]) -> tuple[list[str], frozenset[Succession]]:
    """These people and whoever is linked to them, however far, in one order for all who ask; and who became whom."""
    reached: set[str] = set()
    found: set[Link] = set()
    ahead = set(person_keys)
    while ahead:
        reached |= ahead
        new = persons.links(transaction, ahead)
        found |= new
        ahead = {key for link in new for key in link[:2]} - reached
    return sorted(reached), successions(found)


def _each_once(said: Sequence[PersonStatement]) -> list[PersonStatement]:
    """Each event once, with the earliest of its clocks; the first stands where the id is used for something else."""
    once: dict[tuple[str, str, UUID], PersonStatement] = {}
    for each in said:
        first = once.setdefault((each.person_key, each.resource_hash, each.event_id), each)
        if (first.operation, first.digest) == (each.operation, each.digest):
            once[each.person_key, each.resource_hash, each.event_id] = first._replace(
                rank=min(first.rank, each.rank), published_at=min(first.published_at, each.published_at)
            )
    return list(once.values())
