"""A batch of sorted events, written: one step after the other, each a few bulk statements."""

from __future__ import annotations

from collections.abc import Callable, Collection

import psycopg

from onestory.record.domain.owner import claimants, left
from onestory.record.domain.plan import Group, Plan, groups, plan
from onestory.record.domain.prepare import Prepared, Sorted
from onestory.record.domain.referral import in_force, latest, sent
from onestory.record.domain.statement import Statement
from onestory.record.store import (
    directory,
    events,
    identifiers,
    lowering,
    owners,
    patient_names,
    referrals,
    repeats,
    retirement,
    statements,
)


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
    directory.add(transaction, [said for event in found.new for said in event.statements])
    directory.lower(transaction, [said for event in found.repeated for said in event.statements])
    directory.stand(transaction, {event.name.message_key for event in [*found.new, *found.repeated]})


def project_referrals(transaction: psycopg.Connection, found: Sorted) -> None:
    """Write how referrals stand; a repetition may be the copy that Kafka had first."""
    told = [event.referral for event in [*found.new, *found.repeated] if event.referral]
    referrals.stand(transaction, latest(told))
    referrals.send(transaction, sent(told))
    referrals.add_tasks(transaction, in_force(told))


def _write_new(transaction: psycopg.Connection, planned: Plan) -> set[str]:
    statements.add_persons(transaction, planned.persons)
    is_away, former = _own(transaction, planned)
    statements.add(transaction, planned.statements)
    patient_names.add(transaction, planned.statements)
    statements.stand(transaction, [(said, is_away(said)) for said in planned.greatest.values()])
    statements.add_whole_lists(transaction, planned.lists)
    identifiers.add(transaction, planned.identifiers)
    return former


def _own(transaction: psycopg.Connection, planned: Plan) -> tuple[Callable[[Statement], bool], set[str]]:
    """Settle whose each resource is; then whether a statement is about somebody else's, and whom a resource left."""
    made = planned.claims
    taken = owners.claim(transaction, made.greatest)
    owner_of = {row.resource_hash: made.greatest[row.resource_hash].person_key for row in taken}
    owner_of |= owners.owners(transaction, made.greatest.keys() - owner_of.keys())
    owners.add_claimants(transaction, claimants(made, taken, owner_of))
    gone = left(made, taken)
    owners.send_away(transaction, gone)

    def is_away(said: Statement) -> bool:
        return said.asserts and owner_of.get(said.resource_hash, said.person_key) != said.person_key

    return is_away, {person_key for person_key, _, _ in gone}


def _lower(transaction: psycopg.Connection, repeated: Collection[Prepared]) -> set[str]:
    events.lower(transaction, repeated)
    lowering.lower_whole_lists(transaction, [said for event in repeated for said in event.lists])
    moved = lowering.lower_statements(transaction, (said for event in repeated for said in event.statements))
    if not moved:
        return set()
    repeats.lock_owners(transaction, {shared_id.rpartition("-")[2] for _, shared_id in moved})
    repeats.stand_anew(transaction, moved)
    return repeats.own_anew(transaction, moved)


def _retire(transaction: psycopg.Connection, touched: Collection[Group]) -> None:
    with_lists = retirement.listed(transaction, {group[0] for group in touched})
    retirement.retire(transaction, with_lists.intersection(touched))
