"""From events to the record: what one transaction does with a batch of messages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import psycopg
import structlog

from onestory.record.freshness import store as freshness_store
from onestory.record.freshness.domain import heard, numbered
from onestory.record.parking.park import Parking, RefusedMessage, now
from onestory.record.person import store as person_store
from onestory.record.projector import owner_store, referral_store
from onestory.record.projector import store as projector_store
from onestory.record.projector.metrics import ProjectorMetrics
from onestory.record.projector.prepare import (
    Group,
    Plan,
    PreparedEvent,
    Sorted,
    first_of_each,
    groups,
    plan,
    prepare,
    sort_out,
)
from onestory.record.projector.referral import in_force, latest, sent
from onestory.record.projector.rows import StatementRow, claimants, left
from onestory.shared.errors import Unprocessable
from onestory.shared.identity import Keys, is_person_key
from onestory.shared.kafka.reader import ConsumedEvent
from onestory.shared.kafka.schemas import DIRECTORY
from onestory.shared.person_links import PROVISIONAL

# A batch of sorted events, written: one step after the other, each a few bulk statements.


def project_persons(transaction: psycopg.Connection, found: Sorted) -> set[str]:
    """Write statements about persons: new ones, then what repetitions change, then what whole lists retire.

    The keys of all persons whose record may have changed.
    """
    touched = {event.name.message_key for event in [*found.new, *found.repeated]}
    if found.new:
        touched |= _write_new(transaction, plan(found.new))
    if found.repeated:
        touched |= _lower(transaction, found.repeated)
    if touched:
        _retire(transaction, groups([*found.new, *found.repeated]))
    return touched


def project_directory(transaction: psycopg.Connection, found: Sorted) -> None:
    """Write statements about no person."""
    if not (found.new or found.repeated):
        return
    projector_store.add_directory_statements(transaction, [said for event in found.new for said in event.statements])
    projector_store.lower_directory_statements(
        transaction, [said for event in found.repeated for said in event.statements]
    )
    projector_store.set_current_directory(
        transaction, {event.name.message_key for event in [*found.new, *found.repeated]}
    )


def project_referrals(transaction: psycopg.Connection, found: Sorted) -> None:
    """Write how referrals stand; a repetition may be the copy that Kafka had first."""
    told = [event.referral for event in [*found.new, *found.repeated] if event.referral]
    referral_store.stand(transaction, latest(told))
    referral_store.send(transaction, sent(told))
    referral_store.add_tasks(transaction, in_force(told))


def _write_new(transaction: psycopg.Connection, planned: Plan) -> set[str]:
    projector_store.add_persons(transaction, planned.persons)
    is_away, former = _own(transaction, planned)
    projector_store.add_statements(transaction, planned.statements)
    person_store.add_names(transaction, planned.statements)
    projector_store.set_current(transaction, [(said, is_away(said)) for said in planned.greatest.values()])
    projector_store.add_whole_lists(transaction, planned.lists)
    person_store.add_identifiers(transaction, planned.identifiers)
    return former


def _own(transaction: psycopg.Connection, planned: Plan) -> tuple[Callable[[StatementRow], bool], set[str]]:
    """Settle whose each resource is; then whether a statement is about somebody else's, and whom a resource left."""
    made = planned.claims
    taken = owner_store.claim(transaction, made.greatest)
    owner_of = {row.resource_hash: made.greatest[row.resource_hash].person_key for row in taken}
    owner_of |= owner_store.owners(transaction, made.greatest.keys() - owner_of.keys())
    owner_store.add_claimants(transaction, claimants(made, taken, owner_of))
    gone = left(made, taken)
    owner_store.send_away(transaction, gone)

    def is_away(said: StatementRow) -> bool:
        return said.asserts and owner_of.get(said.resource_hash, said.person_key) != said.person_key

    return is_away, {person_key for person_key, _, _ in gone}


def _lower(transaction: psycopg.Connection, repeated: Collection[PreparedEvent]) -> set[str]:
    projector_store.lower_events(transaction, repeated)
    owner_store.lower_whole_lists(transaction, [said for event in repeated for said in event.lists])
    moved = owner_store.lower_statements(transaction, (said for event in repeated for said in event.statements))
    if not moved:
        return set()
    owner_store.lock_owners(transaction, {shared_id.rpartition("-")[2] for _, shared_id in moved})
    owner_store.stand_anew(transaction, moved)
    return owner_store.own_anew(transaction, moved)


def _retire(transaction: psycopg.Connection, touched: Collection[Group]) -> None:
    with_lists = projector_store.whole_lists(transaction, {group[0] for group in touched})
    projector_store.retire(transaction, with_lists.intersection(touched))


# What a batch tells of its sources, kept beside what they said.


def project_sources(transaction: psycopg.Connection, events: Sequence[PreparedEvent]) -> None:
    """Note that the sources of these events were heard of, and the numbers of their statements."""
    freshness_store.hear(transaction, heard(events))
    freshness_store.number(transaction, numbered(events))


# Patient links as they arrive: kept, reviewed, and looked at for cycles (design section 5).

log = structlog.get_logger()

_CYCLE = "A Patient.link closes a cycle of superseded numbers, so it is not followed."


def project_links(
    transaction: psycopg.Connection, new: Collection[PreparedEvent], gauges: ProjectorMetrics
) -> list[RefusedMessage]:
    """Keep the links of new events; those that close a cycle, to be parked as a notice.

    Their statements stay in the record, and readers follow no link of a cycle. These are the last locks of a batch, but
    for those of `states`.
    """
    for event in new:
        if event.for_review:
            gauges.review_tasks.inc()
            log.info(
                "patient_link_for_review",
                event_id=str(event.name.event_id),
                organisation=event.event.source.organisation,
            )
    person_store.add_links(transaction, [link for event in new for link in event.links])
    closing = [event for event in new if _closes_a_cycle(transaction, event)]
    cycle = Unprocessable(_CYCLE, code="alias-cycle")
    return [RefusedMessage(event.arrival, cycle) for event in closing]


def _closes_a_cycle(transaction: psycopg.Connection, event: PreparedEvent) -> bool:
    return any(link.kind != PROVISIONAL and person_store.in_cycle(transaction, link) for link in event.links)


class RecordBatch(NamedTuple):
    """Messages that can be projected, and messages that cannot."""

    ready: list[PreparedEvent]
    refused: list[RefusedMessage]


class RecordProjector:
    """Writes batches. The transaction is the caller's and holds the positions too, so each is written exactly once."""

    def __init__(self, keys: Keys, authorities: Collection[str], parking: Parking, gauges: ProjectorMetrics) -> None:
        self._keys = keys
        self._authorities = frozenset(authorities)
        self._parking = parking
        self._gauges = gauges

    def prepare(self, arrivals: Sequence[ConsumedEvent]) -> RecordBatch:
        """Which messages can be used, as rows, and which cannot."""
        batch = RecordBatch([], [])
        for arrival in arrivals:
            try:
                batch.ready.append(prepare(arrival, self._keys, self._authorities))
            except Unprocessable as error:
                batch.refused.append(RefusedMessage(arrival, error))
        return batch

    def write(self, transaction: psycopg.Connection, batch: RecordBatch) -> Callable[[], None]:
        """Project what can be used and park the rest."""
        found = _sort_out(transaction, batch.ready)
        touched = project_persons(transaction, _on(found, persons=True))
        project_referrals(transaction, found)
        project_directory(transaction, _on(found, persons=False))
        # Referrals are made here: nobody falls silent who makes none.
        project_sources(transaction, [event for event in [*found.new, *found.repeated] if event.referral is None])
        refused = batch.refused + [RefusedMessage(event.arrival, _reused()) for event in found.reused]
        self._parking.guard(len(found.new) + len(found.repeated), refused)
        refused += project_links(transaction, found.new, self._gauges)
        self._parking.park(transaction, refused)
        person_store.mark_changed(
            transaction, touched | {key for each in refused if (key := _person_key(each.arrival))}
        )
        return lambda: self._observe(found.new)

    def _observe(self, new: Collection[PreparedEvent]) -> None:
        visible_at = now()
        self._gauges.projected.inc(sum(len(event.statements) for event in new))
        for event in new:
            self._gauges.delay.observe((visible_at - event.event.published_at).total_seconds())


def _person_key(arrival: ConsumedEvent) -> str | None:
    """Whom a message is about, by its key: that something of them is parked is shown to those who read of them."""
    key = (arrival.key or b"").decode("ascii", errors="replace")
    return key if arrival.topic != DIRECTORY and is_person_key(key) else None


def _reused() -> Unprocessable:
    return Unprocessable("The event id was used for other content before.", code="event-id-reused")


def _sort_out(transaction: psycopg.Connection, ready: list[PreparedEvent]) -> Sorted:
    known = projector_store.add_events(transaction, first_of_each(ready).values())
    return sort_out(ready, dict(projector_store.fingerprints(transaction, known)))


def _on(found: Sorted, *, persons: bool) -> Sorted:
    """The part about persons, or the part about the directory."""
    return Sorted(*([event for event in part if (event.arrival.topic != DIRECTORY) is persons] for part in found))
