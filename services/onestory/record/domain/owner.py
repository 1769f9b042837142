"""One resource, one person: what follows from who got it (design section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from onestory.record.domain.statement import Statement
from onestory.shared.fhir.definitions import is_about_a_person


class Taken(NamedTuple):
    """A resource that a claim of this batch got, and the person whom it left, if any."""

    resource_hash: str
    former_key: str | None


class Claims(NamedTuple):
    """The greatest assertion of each resource in a batch; who else in the batch asserts it, where anybody does."""

    greatest: dict[str, Statement]
    contested: dict[str, set[str]]


def claims(statements: Iterable[Statement]) -> Claims:
    """What a batch says of whose each resource is. A retraction claims nothing, and nor does what only comes along with
    a person's statement, such as the Medication that it speaks of: it may come with another person's too.
    """
    greatest: dict[str, Statement] = {}
    contested: dict[str, set[str]] = {}
    for said in statements:
        if not said.asserts or not is_about_a_person(said.resource_type):
            continue
        other = greatest.setdefault(said.resource_hash, said)
        if other is said:
            continue
        if other.person_key != said.person_key:
            contested.setdefault(said.resource_hash, set()).update((said.person_key, other.person_key))
        if said.key > other.key:
            greatest[said.resource_hash] = said
    return Claims(greatest, contested)


def claimants(made: Claims, taken: Iterable[Taken], owner_of: Mapping[str, str]) -> set[tuple[str, str]]:
    """(resource hash, person key) of every resource that this batch knows to be asserted of several persons."""
    persons = {hash_: set(keys) for hash_, keys in made.contested.items()}
    for hash_, former_key in taken:
        if former_key:
            persons.setdefault(hash_, set()).add(former_key)
    for hash_, said in made.greatest.items():
        if hash_ in persons or owner_of[hash_] != said.person_key:
            persons.setdefault(hash_, set()).update((said.person_key, owner_of[hash_]))
    return {(hash_, key) for hash_, keys in persons.items() for key in keys}


def left(made: Claims, taken: Iterable[Taken]) -> list[tuple[str, str, str]]:
    """(person key, resource type, shared id) of the rows whose resource left that person."""
    return [
        (former_key, made.greatest[hash_].resource_type, f"{former_key}-{hash_}")
        for hash_, former_key in taken
        if former_key
    ]
