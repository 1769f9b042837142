"""What a reader who looked before has not seen yet: two merged records of one person, compared fact by fact.

Compare what was merged as of the last look with what is merged now, for the same reader: the times of statements alone
do not tell what was withdrawn, what left the person, or what a clinician joined or kept apart since.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from onestory.record.domain.merge.fact import Fact, Merged


@dataclass(frozen=True, slots=True)
class Changed:
    """A fact that is there and is not as it was. `was` are the facts that its statements belonged to, by their ids."""

    fact: Fact
    was: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """`new`: no statement of it was there. `gone`: no statement of it is there any more. Each in the order of its
    record. Facts that were joined or parted since are `changed`.
    """

    new: tuple[Fact, ...]
    changed: tuple[Changed, ...]
    gone: tuple[Fact, ...]


def changes(before: Merged, now: Merged) -> Changes:
    """What became of a person's facts. One that shows the same statements, joins and conflicts is in none of them."""
    known = _by_statement(before.facts)
    kept = {each.shared_id for fact in now.facts for each in fact.members}
    new, changed = [], []
    for fact in now.facts:
        was = _among(known, fact)
        if not was:
            new.append(fact)
        elif [_shows(each) for each in was] != [_shows(fact)]:
            changed.append(Changed(fact, was))
    gone = [fact for fact in before.facts if not any(each.shared_id in kept for each in fact.members)]
    return Changes(tuple(new), tuple(changed), tuple(gone))


def _by_statement(facts: Iterable[Fact]) -> dict[str, Fact]:
    return {each.shared_id: fact for fact in facts for each in fact.members}


def _among(known: dict[str, Fact], fact: Fact) -> tuple[Fact, ...]:
    found: dict[str, Fact] = {}
    for each in fact.members:
        if each.shared_id in known:
            found.setdefault(known[each.shared_id].id, known[each.shared_id])
    return tuple(found[fact_id] for fact_id in sorted(found))


def _shows(fact: Fact) -> tuple[Any, ...]:
    """All that a reader sees of a fact. A statement's version says what it says."""
    members = [(each.shared_id, each.event_id) for each in fact.members]
    return members, fact.joins, fact.conflicts, fact.beside, fact.withdrawn
