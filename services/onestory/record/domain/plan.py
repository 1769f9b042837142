"""What a batch of new events changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from onestory.record.domain.local_identifier import LocalIdentifier
from onestory.record.domain.owner import Claims, claims
from onestory.record.domain.prepare import Prepared
from onestory.record.domain.statement import Statement, WholeList
from onestory.shared.events import RecordChanged
from onestory.shared.identity import PersonIdentifier

Group = tuple[str, str, str, str]
"""(person key, organisation, system, resource type): what a whole list is about."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of a batch, and for each resource the statement with the greatest key."""

    persons: dict[str, PersonIdentifier]
    statements: list[Statement]
    greatest: dict[str, Statement]
    claims: Claims
    lists: list[WholeList]
    identifiers: list[LocalIdentifier]


def plan(events: Collection[Prepared]) -> Plan:
    """The plan of events about persons, none of which was projected before."""
    said = [statement for event in events for statement in event.statements]
    about = {event.name.message_key: event.event for event in events}
    return Plan(
        persons={key: event.person for key, event in about.items() if isinstance(event, RecordChanged)},
        statements=said,
        greatest=greatest(said),
        claims=claims(said),
        lists=[listed for event in events for listed in event.lists],
        identifiers=[each for event in events for each in event.identifiers],
    )


def greatest(statements: Collection[Statement]) -> dict[str, Statement]:
    """By shared id, the statement with the greatest key."""
    found: dict[str, Statement] = {}
    for said in statements:
        other = found.setdefault(said.shared_id, said)
        if other is not said and said.key > other.key:
            found[said.shared_id] = said
    return found


def groups(events: Collection[Prepared]) -> set[Group]:
    """What of whole lists these events touch, as entries or as lists."""
    found = {(s.person_key, s.organisation, s.system, s.resource_type) for event in events for s in event.statements}
    found.update(listed[:4] for event in events for listed in event.lists)
    return found
