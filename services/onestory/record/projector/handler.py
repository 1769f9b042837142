"""Projects batches of events into the record: what one transaction writes.

`prepare` runs before the transaction, `write` inside it. Each step of `write` is a few statements over whole tables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import psycopg
import structlog

from onestory.record.freshness import store as freshness_store
from onestory.record.freshness.domain import last_heard_by_partition, sequence_numbers
from onestory.record.parking.park import Parking, RefusedMessage, utc_now
from onestory.record.person import identity_limit_store
from onestory.record.person import store as person_store
from onestory.record.person.statements import practitioners_by_precedence, registered_practice
from onestory.record.projector import owner_store, referral_store
from onestory.record.projector import store as projector_store
from onestory.record.projector.metrics import ProjectorMetrics
from onestory.record.projector.prepare import (
    ListScope,
    Plan,
    PreparedEvent,
    SortedEvents,
    first_messages,
    list_scopes,
    plan,
    prepare,
    sort_events,
)
from onestory.record.projector.referral import carried_rows, latest_rows, sent_rows, task_rows
from onestory.record.projector.rows import StatementRow, away_rows, claimant_rows
from onestory.record.summary import store as summary_store
from onestory.shared.errors import Unprocessable
from onestory.shared.events import ConsumedMessage
from onestory.shared.identity import Keys, is_person_key
from onestory.shared.identity_links import PROVISIONAL
from onestory.shared.kafka.reader import refuses_content
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC

log = structlog.get_logger()

_CYCLE = "Patient.link: it closes a cycle of superseded NHS numbers, so readers do not follow it."
_TOO_MANY = (
    "Patient.id: the source has linked {} local ids to this person, the limit. Readers do not see what it stated under "
    "this id before it knew the NHS number. Raise ONESTORY_IDENTITIES_PER_SOURCE and rebuild, or correct the Patients."
)


class RecordBatch(NamedTuple):
    """The messages of a batch that can be projected, and those that cannot."""

    ready: list[PreparedEvent]
    refused: list[RefusedMessage]


class ProjectedBatch(NamedTuple):
    """The projected events, the keys of persons that changed, and the messages whose identity link is refused."""

    events: SortedEvents
    changed: set[str]
    refused_links: list[RefusedMessage]


class RecordProjector:
    """Writes batches into the record.

    The caller's transaction holds the positions too, so each event is written exactly once. `authorities` are the ODS
    codes of the demographic authorities. `identity_limit` is how many identities one source may link to one person.
    """

    def __init__(
        self,
        keys: Keys,
        authorities: Collection[str],
        parking: Parking,
        metrics: ProjectorMetrics,
        identity_limit: int,
    ) -> None:
        self._identity_limit = identity_limit
        self._keys = keys
        self._authorities = frozenset(authorities)
        self._parking = parking
        self._metrics = metrics

    def prepare(self, messages: Sequence[ConsumedMessage]) -> RecordBatch:
        """The messages as rows. Messages that cannot be used come back with their error."""
        batch = RecordBatch([], [])
        for message in messages:
            try:
                batch.ready.append(prepare(message, self._keys, self._authorities))
            except Unprocessable as error:
                batch.refused.append(RefusedMessage(message, error))
        return batch

    def write(self, transaction: psycopg.Connection, batch: RecordBatch) -> Callable[[], None]:
        """Project the ready events and park the refused messages. Call what it returns after the commit."""
        projected, refused_values = self._project_usable(transaction, batch.ready)
        events, changed = projected.events, projected.changed
        reused = [RefusedMessage(event.message, _reused_event_id()) for event in events.reused]
        refused = [*batch.refused, *refused_values, *reused]
        self._parking.stop_if_all_parked(len(events.new) + len(events.repeated), refused)
        self._report_for_review(transaction, events.new)
        refused += projected.refused_links
        self._parking.park(transaction, refused)
        # Readers see how many of a person's messages are parked, so these persons have changed too.
        changed |= {key for message, _ in refused if (key := _person_key(message))}
        person_store.mark_changed(transaction, changed)
        return lambda: self._observe(events.new)

    def _project_usable(
        self, transaction: psycopg.Connection, ready: Sequence[PreparedEvent]
    ) -> tuple[ProjectedBatch, list[RefusedMessage]]:
        """Project the events without those that PostgreSQL refuses. Returns the messages of the latter too.

        One message that an index or a column cannot hold must not stop the messages of everybody else.
        """
        try:
            with transaction.transaction():
                return self._project(transaction, ready), []
        except psycopg.Error as error:
            if not refuses_content(error):
                raise
        refused = self._refused_by_database(transaction, ready)
        messages = [id(each.message) for each in refused]
        usable = [event for event in ready if id(event.message) not in messages]
        return self._project(transaction, usable), refused

    def _refused_by_database(
        self, transaction: psycopg.Connection, events: Sequence[PreparedEvent]
    ) -> list[RefusedMessage]:
        """The messages that PostgreSQL refuses, found by halves. Nothing stays written."""
        try:
            with transaction.transaction(force_rollback=True):
                self._project(transaction, events)
            return []
        except psycopg.Error as error:
            if not refuses_content(error):
                raise
            if len(events) == 1:
                return [RefusedMessage(events[0].message, _refused_value(error))]
        half = len(events) // 2
        return [
            *self._refused_by_database(transaction, events[:half]),
            *self._refused_by_database(transaction, events[half:]),
        ]

    def _project(self, transaction: psycopg.Connection, ready: Sequence[PreparedEvent]) -> ProjectedBatch:
        events = _sort_batch(transaction, ready)
        changed = project_persons(transaction, _about(events, persons=True))
        project_referrals(transaction, events)
        changed |= project_directory(transaction, _about(events, persons=False))
        # OneStory writes referral events itself. A source is not silent because it makes no referrals.
        project_freshness(transaction, [event for event in [*events.new, *events.repeated] if event.referral is None])
        linked = project_links(transaction, events, self._identity_limit)
        return ProjectedBatch(events, changed | linked.changed, linked.refused)

    def _report_for_review(self, transaction: psycopg.Connection, new: Collection[PreparedEvent]) -> None:
        """Count and log the links and labels that a person has to look at: their source has no authority over them."""
        for event in new:
            practice = _practice(transaction, event, self._authorities) if event.labels_person else None
            for name, needed in (
                ("patient_link_for_review", event.needs_review),
                ("patient_label_for_review", event.labels_person and event.body.source.organisation != practice),
            ):
                if needed:
                    self._metrics.review_tasks.inc()
                    log.info(name, event_id=str(event.key.event_id), organisation=event.body.source.organisation)

    def _observe(self, new: Collection[PreparedEvent]) -> None:
        visible_at = utc_now()
        self._metrics.projected.inc(sum(len(event.statements) for event in new))
        for event in new:
            self._metrics.delay.observe((visible_at - event.body.published_at).total_seconds())


def _sort_batch(transaction: psycopg.Connection, ready: Sequence[PreparedEvent]) -> SortedEvents:
    known = projector_store.add_events(transaction, first_messages(ready).values())
    return sort_events(ready, dict(projector_store.fingerprints(transaction, known)))


def _about(events: SortedEvents, *, persons: bool) -> SortedEvents:
    """The events about persons, or else the events about the directory."""
    return SortedEvents(
        *([event for event in part if (event.message.topic != DIRECTORY_TOPIC) is persons] for part in events)
    )


def _reused_event_id() -> Unprocessable:
    return Unprocessable("event_id: it was used for other content before. Send a new id.", code="event-id-reused")


def _refused_value(error: psycopg.Error) -> Unprocessable:
    # The text of a PostgreSQL error may quote a row, so the message holds only its class.
    name = type(error).__name__
    return Unprocessable(f"PostgreSQL cannot hold a value of this message ({name}).", code="refused-by-database")


def _person_key(message: ConsumedMessage) -> str | None:
    """The person key that is the message's key; None for the directory, and for a key in another form."""
    key = (message.key or b"").decode("ascii", errors="replace")
    return key if message.topic != DIRECTORY_TOPIC and is_person_key(key) else None


# Statements about persons.


def project_persons(transaction: psycopg.Connection, events: SortedEvents) -> set[str]:
    """Write new statements, then apply repetitions, then retire what whole lists leave out.

    Returns the person keys of all records that may have changed.
    """
    changed = {event.key.message_key for event in [*events.new, *events.repeated]}
    if events.new:
        changed |= _write_new(transaction, plan(events.new))
    if events.repeated:
        changed |= _apply_repetitions(transaction, events.repeated)
    if changed:
        _retire_left_out(transaction, list_scopes([*events.new, *events.repeated]))
    return changed


def _write_new(transaction: psycopg.Connection, rows: Plan) -> set[str]:
    """Write the rows of new events. Returns the keys of persons that lost a resource to another person."""
    projector_store.add_persons(transaction, rows.persons)
    is_away, former_owners = _assign_owners(transaction, rows)
    projector_store.add_statements(transaction, rows.statements)
    person_store.add_patient_names(transaction, rows.statements)
    projector_store.update_current(transaction, [(row, is_away(row)) for row in rows.greatest.values()])
    projector_store.add_whole_lists(transaction, rows.whole_lists)
    person_store.add_identifiers(transaction, rows.identifiers)
    return former_owners


def _assign_owners(transaction: psycopg.Connection, rows: Plan) -> tuple[Callable[[StatementRow], bool], set[str]]:
    """Decide which person owns each resource.

    Returns a test whether a statement's resource belongs to another person, and the keys of former owners.
    """
    claims = rows.claims
    won = owner_store.claim_owners(transaction, claims.greatest)
    owners = {claim.resource_hash: claims.greatest[claim.resource_hash].person_key for claim in won}
    owners |= owner_store.owners(transaction, claims.greatest.keys() - owners.keys())
    owner_store.add_claimants(transaction, claimant_rows(claims, won, owners))
    away = away_rows(claims, won)
    owner_store.mark_away(transaction, away)

    def is_away(row: StatementRow) -> bool:
        return row.asserts and owners.get(row.resource_hash, row.person_key) != row.person_key

    return is_away, {person_key for person_key, _, _ in away}


def _apply_repetitions(transaction: psycopg.Connection, repeated: Collection[PreparedEvent]) -> set[str]:
    """Lower the order keys of events that came again with earlier times, and recompute what follows from them.

    Returns the keys of persons whose resources changed their owner.
    """
    projector_store.lower_events(transaction, repeated)
    owner_store.lower_whole_lists(transaction, [row for event in repeated for row in event.whole_lists])
    lowered = owner_store.lower_statements(transaction, (row for event in repeated for row in event.statements))
    if not lowered:
        return set()
    owner_store.lock_owners(transaction, {shared_id.rpartition("-")[2] for _, shared_id in lowered})
    owner_store.recompute_current(transaction, lowered)
    return owner_store.recompute_owners(transaction, lowered)


def _retire_left_out(transaction: psycopg.Connection, scopes: Collection[ListScope]) -> None:
    with_lists = projector_store.scopes_with_whole_list(transaction, {scope[0] for scope in scopes})
    projector_store.retire(transaction, with_lists.intersection(scopes))


# Referrals, the directory, freshness and identity links.


def project_referrals(transaction: psycopg.Connection, events: SortedEvents) -> None:
    """Write the states of referrals. A repetition counts, because it may be the copy that Kafka had first."""
    changes = [event.referral for event in [*events.new, *events.repeated] if event.referral]
    referral_store.update_referrals(transaction, latest_rows(changes))
    referral_store.update_sent(transaction, sent_rows(changes))
    referral_store.add_tasks_and_carried(transaction, task_rows(changes), carried_rows(changes))


def project_directory(transaction: psycopg.Connection, events: SortedEvents) -> set[str]:
    """Write statements about no person.

    Returns the keys of persons whose published summary names one of the resources.
    """
    if not (events.new or events.repeated):
        return set()
    projector_store.add_directory_statements(transaction, [row for event in events.new for row in event.statements])
    projector_store.lower_directory_statements(
        transaction, [row for event in events.repeated for row in event.statements]
    )
    shared_ids = {event.key.message_key for event in [*events.new, *events.repeated]}
    projector_store.update_current_directory(transaction, shared_ids)
    return summary_store.persons_naming(transaction, shared_ids)


def project_freshness(transaction: psycopg.Connection, events: Sequence[PreparedEvent]) -> None:
    """Write when the sources of these events were last heard, and the sequence numbers of their statements."""
    freshness_store.update_last_heard(transaction, last_heard_by_partition(events))
    freshness_store.add_sequence_numbers(transaction, sequence_numbers(events))


class ProjectedLinks(NamedTuple):
    """The messages to park as a notice, and the keys of identities that were joined to a person, or no longer are."""

    refused: list[RefusedMessage]
    changed: set[str]


def project_links(transaction: psycopg.Connection, events: SortedEvents, identity_limit: int) -> ProjectedLinks:
    """Write the identity links of new events (design section 5).

    An event is parked as a notice if its link closes a cycle, or links an identity beyond the limit. Its statements
    stay in the record, and readers do not follow the link. After the locks that this takes, a batch takes only those of
    `person_state`.
    """
    links = [link for event in events.new for link in event.links]
    persons = identity_limit_store.persons_with_new_identities(transaction, links)
    person_store.add_patient_links(transaction, links)
    # A repetition may give an earlier time to the first statement of an identity.
    persons |= {link.person_key for event in events.repeated for link in event.links}
    beyond, changed = identity_limit_store.decide_identities(transaction, persons, identity_limit)
    cycle = Unprocessable(_CYCLE, code="alias-cycle")
    too_many = Unprocessable(_TOO_MANY.format(identity_limit), code="too-many-identities")
    refused = [
        *[RefusedMessage(event.message, cycle) for event in events.new if _closes_cycle(transaction, event)],
        *[
            RefusedMessage(event.message, too_many)
            for event in events.new
            if any((link.person_key, link.other_key) in beyond for link in event.links)
        ],
    ]
    return ProjectedLinks(refused, changed)


def _closes_cycle(transaction: psycopg.Connection, event: PreparedEvent) -> bool:
    return any(link.kind != PROVISIONAL and person_store.is_in_cycle(transaction, link) for link in event.links)


def _practice(transaction: psycopg.Connection, event: PreparedEvent, authorities: Collection[str]) -> str | None:
    """The registered practice of the person of an event; None if only the directory has its ODS code."""
    statements = person_store.patient_statements(transaction, event.key.message_key)
    return registered_practice(practitioners_by_precedence(statements, authorities), authorities, {})
