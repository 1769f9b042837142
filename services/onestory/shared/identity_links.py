"""Identity links: which identities are one person, as Patient statements say.

A statement links a person to a superseded NHS number, or to a provisional identity. Identities are joined when a record
is read, never when it is written. So a join ends when its statement is retracted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import orjson

from onestory.shared.events import Entry, RecordChanged
from onestory.shared.fhir.json import listed_objects, object_of
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    Keys,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    provisional_identity,
)

PROVISIONAL = "provisional"
REPLACES = "replaces"
REPLACED_BY = "replaced-by"

# http://terminology.hl7.org/CodeSystem/v3-Confidentiality V, and PDS's S flag. A protected person may be registered
# again with a new number, and that number must not lead to the earlier identity.
_PROTECTED = {"V", "S"}


class IdentityLink(NamedTuple):
    """A link that a Patient statement of `person_key` makes: `kind` is `replaces`, `replaced-by` or `provisional`."""

    person_key: str
    other_key: str
    kind: str


class Succession(NamedTuple):
    """The person known as `older` is now known as `newer`. Both are person keys."""

    older: str
    newer: str
    both_nhs_numbers: bool


def successions(links: Iterable[IdentityLink]) -> frozenset[Succession]:
    """Return the links as successions, without contradictory ones.

    A succession on a cycle is left out. So are those of a number that became two numbers, unless one of the two became
    the other.
    """
    stated = {_succession(link) for link in links}
    newer: dict[str, set[str]] = defaultdict(set)
    for succession in stated:
        newer[succession.older].add(succession.newer)
    became: dict[str, set[str]] = defaultdict(set)
    for succession in stated:
        if succession.both_nhs_numbers:
            became[succession.older].add(succession.newer)
    forked = {older for older, numbers in became.items() if not _on_one_chain(newer, numbers)}
    return frozenset(
        succession
        for succession in stated
        if succession.older not in _reached(newer, succession.newer)
        and not (succession.both_nhs_numbers and succession.older in forked)
    )


def linked_keys(successions: Collection[Succession], person_key: str) -> frozenset[str]:
    """Return every key of the same person, with `person_key` itself. Chains are followed in both directions."""
    neighbours = defaultdict(set)
    for succession in successions:
        neighbours[succession.older].add(succession.newer)
        neighbours[succession.newer].add(succession.older)
    return _reached(neighbours, person_key)


def _succession(link: IdentityLink) -> Succession:
    if link.kind == REPLACED_BY:
        return Succession(link.person_key, link.other_key, True)
    return Succession(link.other_key, link.person_key, link.kind == REPLACES)


def _on_one_chain(newer: Mapping[str, Collection[str]], numbers: Collection[str]) -> bool:
    return all(a in _reached(newer, b) or b in _reached(newer, a) for a, b in combinations(numbers, 2))


def _reached(edges: Mapping[str, Collection[str]], start: str) -> frozenset[str]:
    reached, pending = {start}, [start]
    while pending:
        for key in edges.get(pending.pop(), ()):
            if key not in reached:
                reached.add(key)
                pending.append(key)
    return frozenset(reached)


class IdentityLinkRow(NamedTuple):
    """A link as a row of the table `patient_link`, in the order of its columns."""

    other_key: str
    person_key: str
    shared_id: str
    event_id: Any
    kind: str


class StatedLinks(NamedTuple):
    """The links of one Patient statement. `needs_review`: it has a link that its source has no authority to make."""

    links: tuple[IdentityLinkRow, ...]
    needs_review: bool


def stated_links(event: RecordChanged, entry: Entry, keys: Keys, authoritative: bool) -> StatedLinks:
    """Return the links that an asserted Patient states (design section 5). Its content must be valid FHIR."""
    patient = orjson.loads(entry.content or b"{}")
    if _is_protected(patient):
        return StatedLinks((), False)
    person_key = keys.person_key(event.person)
    stated = list(_superseding_links(patient))
    kinds = {keys.person_key(other): kind for kind, other in stated} if authoritative else {}
    if event.person.is_nhs_number:
        earlier = provisional_identity(event.source.organisation, event.source.system, entry.local_id)
        kinds[keys.person_key(earlier)] = PROVISIONAL
    kinds.pop(person_key, None)
    rows = (
        IdentityLinkRow(key, person_key, entry.shared_id, event.event_id, kind) for key, kind in sorted(kinds.items())
    )
    return StatedLinks(tuple(rows), bool(stated) and not authoritative)


def _is_protected(patient: dict[str, Any]) -> bool:
    codings = listed_objects(object_of(patient, "meta").get("security"))
    return any(coding.get("code") in _PROTECTED for coding in codings)


def _superseding_links(patient: dict[str, Any]) -> Iterator[tuple[str, PersonIdentifier]]:
    """Yield (kind, NHS number) for each Patient.link that supersedes (http://hl7.org/fhir/R4/patient.html#links)."""
    for link in listed_objects(patient.get("link")):
        other = link.get("other")
        number = _nhs_number(other) if isinstance(other, dict) else None
        if number and link.get("type") in (REPLACES, REPLACED_BY):
            yield link["type"], PersonIdentifier(NHS_NUMBER_SYSTEM, number)


def _nhs_number(other: dict[str, Any]) -> str | None:
    identifier = other.get("identifier")
    if isinstance(identifier, dict) and is_nhs_number_system(identifier.get("system")):
        value = identifier.get("value")
    else:
        value = str(other.get("reference", "")).rpartition("Patient/")[2]
    return value if isinstance(value, str) and is_nhs_number(value) else None
