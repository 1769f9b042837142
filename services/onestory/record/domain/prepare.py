"""One event made ready to be written: checked, its rows, what it repeats."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from onestory.record.domain.check import checked
from onestory.record.domain.content import content_digest
from onestory.record.domain.fingerprint import fingerprint
from onestory.record.domain.local_identifier import LocalIdentifier, local_identifiers
from onestory.record.domain.referral import Changed, beside_statement, changed, stated
from onestory.record.domain.statement import Statement, WholeList, statements, whole_lists
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.events import DirectoryChanged, Operation, RecordChanged, ReferralChanged
from onestory.shared.identity import Keys
from onestory.shared.link import Link, links


class EventName(NamedTuple):
    """What makes two messages the same event."""

    message_key: str
    event_id: UUID


@dataclass(frozen=True, slots=True)
class Prepared:
    """An event that can be projected. `for_review`: it has an alias that its source may not make.

    Of a change of a referral, `event` is the statement that it makes, and `referral` how the referral stands after it.
    """

    arrival: Arrival
    event: RecordChanged | DirectoryChanged
    name: EventName
    fingerprint: bytes
    statements: tuple[Statement, ...]
    lists: tuple[WholeList, ...]
    links: tuple[Link, ...]
    for_review: bool
    identifiers: tuple[LocalIdentifier, ...] = ()
    referral: Changed | None = None


def prepare(arrival: Arrival, keys: Keys, authorities: Collection[str]) -> Prepared:
    """The event as rows. `authorities` are the organisations that may supersede an NHS number.

    Raises `Unprocessable`; the code of its issue is the reason to park it.
    """
    arrived = checked(arrival, keys)
    message_key = (arrival.key or b"").decode("ascii")
    event = stated(arrived) if isinstance(arrived, ReferralChanged) else arrived
    entries = event.entries if isinstance(event, RecordChanged) else (event.entry,)
    digests = [content_digest(entry) for entry in entries]
    said = tuple(statements(arrival, event, digests))
    name = EventName(message_key, event.event_id)
    mark = fingerprint(event, digests, beside_statement(arrived) if isinstance(arrived, ReferralChanged) else ())
    if isinstance(event, DirectoryChanged):
        return Prepared(arrival, event, name, mark, said, (), (), False)
    lists = tuple(whole_lists(arrival, event, message_key))
    made, for_review = _links(event, keys, event.source.organisation in authorities)
    identifiers = tuple(local_identifiers(event, message_key))
    referral = changed(arrived, message_key, arrival.broker_time) if isinstance(arrived, ReferralChanged) else None
    return Prepared(arrival, event, name, mark, said, lists, made, for_review, identifiers, referral)


def _links(event: RecordChanged, keys: Keys, authoritative: bool) -> tuple[tuple[Link, ...], bool]:
    patients = [entry for entry in event.entries if entry.resource_type == "Patient"]
    found = [links(event, entry, keys, authoritative) for entry in patients if entry.operation is Operation.ASSERT]
    return tuple(link for each in found for link in each.made), any(each.for_review for each in found)


class Sorted(NamedTuple):
    """Events of a batch: said for the first time, said before, and an event id that was used for something else."""

    new: list[Prepared]
    repeated: list[Prepared]
    reused: list[Prepared]


def first_of_each(events: Collection[Prepared]) -> dict[EventName, Prepared]:
    """The first message of each event."""
    firsts: dict[EventName, Prepared] = {}
    for event in events:
        firsts.setdefault(event.name, event)
    return firsts


def sort_out(events: Collection[Prepared], known: dict[EventName, bytes]) -> Sorted:
    """Which messages are new, repetitions, or other content under the same id; `known` are earlier fingerprints."""
    firsts = first_of_each(events)
    found = Sorted([], [], [])
    for event in events:
        first = firsts[event.name]
        if event.name not in known and event is first:
            found.new.append(event)
        elif event.fingerprint == known.get(event.name, first.fingerprint):
            found.repeated.append(event)
        else:
            found.reused.append(event)
    return found
