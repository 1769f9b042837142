"""Which identities are one person: what Patient statements say of superseded numbers and provisional identities.

A join is made when the record is read, never when it is written: it ends with the statement that made it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import orjson

from onestory.shared.events import Entry, RecordChanged
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    Keys,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    provisional,
)


class PersonLink(NamedTuple):
    """What a Patient statement of `person_key` says of `other_key`: `replaces`, `replaced-by` or `provisional`."""

    person_key: str
    other_key: str
    kind: str


class Succession(NamedTuple):
    """The person known as `older` is now known as `newer`. `numbered`: both are NHS numbers."""

    older: str
    newer: str
    numbered: bool


def successions(links: Iterable[PersonLink]) -> frozenset[Succession]:
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


def _succession(link: PersonLink) -> Succession:
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


# What a Patient says of other identities of the same person (design section 5).

PROVISIONAL = "provisional"
REPLACES = "replaces"
REPLACED_BY = "replaced-by"

# http://terminology.hl7.org/CodeSystem/v3-Confidentiality V, and PDS's S flag: a protected re-registration may not lead
# to the identity before it.
_PROTECTED = {"V", "S"}


class PatientLink(NamedTuple):
    """Another identity of the person, in the order of the columns of `patient_link`."""

    other_key: str
    person_key: str
    shared_id: str
    event_id: Any
    kind: str


class Links(NamedTuple):
    """What one Patient statement says. `for_review`: a link that its source has no authority to make."""

    made: tuple[PatientLink, ...]
    for_review: bool


def links(event: RecordChanged, entry: Entry, keys: Keys, authoritative: bool) -> Links:
    """The links of an asserted Patient, whose content is valid FHIR."""
    patient = orjson.loads(entry.content or b"{}")
    if _protected(patient):
        return Links((), False)
    person_key = keys.person_key(event.person)
    stated = list(_stated(patient))
    found = {keys.person_key(other): kind for kind, other in stated} if authoritative else {}
    if event.person.is_nhs_number:
        earlier = provisional(event.source.organisation, event.source.system, entry.local_id)
        found[keys.person_key(earlier)] = PROVISIONAL
    found.pop(person_key, None)
    made = (PatientLink(key, person_key, entry.shared_id, event.event_id, kind) for key, kind in sorted(found.items()))
    return Links(tuple(made), bool(stated) and not authoritative)


def _protected(patient: dict[str, Any]) -> bool:
    meta = patient.get("meta")
    codings = _objects(meta.get("security")) if isinstance(meta, dict) else iter(())
    return any(coding.get("code") in _PROTECTED for coding in codings)


def _stated(patient: dict[str, Any]) -> Iterator[tuple[str, PersonIdentifier]]:
    """NHS numbers in Patient.link (http://hl7.org/fhir/R4/patient.html#links), of the two kinds that supersede."""
    for link in _objects(patient.get("link")):
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


def _objects(value: object) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
