"""Which identities are one person: what Patient statements say of superseded numbers and provisional identities.

A join is made when the record is read, never when it is written: it ends with the statement that made it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import combinations
from typing import NamedTuple


class Link(NamedTuple):
    """What a Patient statement of `person_key` says of `other_key`: `replaces`, `replaced-by` or `provisional`."""

    person_key: str
    other_key: str
    kind: str


class Succession(NamedTuple):
    """The person known as `older` is now known as `newer`. `numbered`: both are NHS numbers."""

    older: str
    newer: str
    numbered: bool


def successions(links: Iterable[Link]) -> frozenset[Succession]:
    """The links as successions, without those that lie on a cycle, and without those of a number that is said to have
    become two numbers of which neither became the other: nobody is joined on contradictory evidence.
    """
    said = {_succession(link) for link in links}
    newer: dict[str, set[str]] = defaultdict(set)
    for each in said:
        newer[each.older].add(each.newer)
    became: dict[str, set[str]] = defaultdict(set)
    for each in said:
        if each.numbered:
            became[each.older].add(each.newer)
    forked = {older for older, numbers in became.items() if not _on_one_chain(newer, numbers)}
    return frozenset(
        each
        for each in said
        if each.older not in _reached(newer, each.newer) and not (each.numbered and each.older in forked)
    )


def joined(among: Collection[Succession], person_key: str) -> frozenset[str]:
    """Every key that is the same person as `person_key`, itself among them. Chains are followed in both directions."""
    beside = defaultdict(set)
    for each in among:
        beside[each.older].add(each.newer)
        beside[each.newer].add(each.older)
    return _reached(beside, person_key)


def _succession(link: Link) -> Succession:
    if link.kind == "replaced-by":
        return Succession(link.person_key, link.other_key, True)
    return Succession(link.other_key, link.person_key, link.kind == "replaces")


def _on_one_chain(newer: Mapping[str, Collection[str]], numbers: Collection[str]) -> bool:
    return all(a in _reached(newer, b) or b in _reached(newer, a) for a, b in combinations(numbers, 2))


def _reached(steps: Mapping[str, Collection[str]], start: str) -> frozenset[str]:
    reached, ahead = {start}, [start]
    while ahead:
        for key in steps.get(ahead.pop(), ()):
            if key not in reached:
                reached.add(key)
                ahead.append(key)
    return frozenset(reached)
