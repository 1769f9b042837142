"""The data of `schemas/summary/people-around.yaml`, and how people and places around the person are read. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.model import Statement
from onestory.record.summary.header import contact_points
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.person import human_name, name_of_person
from onestory.shared.fhir.json import Code, codes_of, concept_text, objects_at, text_of

_SNOMED = "http://snomed.info/sct"


class RoleGroup(NamedTuple):
    """Roles of the same use to a reader: an expression for their words in small letters, and words by code."""

    words: re.Pattern[str]
    codes: Mapping[Code, str]


class PlacesAround(NamedTuple):
    """The roles of contacts, the most useful first, and what makes an Encounter a stay."""

    roles: tuple[RoleGroup, ...]
    stays: frozenset[Code]
    emergency: frozenset[Code]
    stay_words: tuple[str, ...]
    virtual_words: tuple[str, ...]
    away_words: tuple[str, ...]
    death_codes: frozenset[Code]
    death_words: frozenset[str]
    death_documents: frozenset[str]
    death_dispositions: frozenset[Code]
    death_disposition_words: frozenset[str]


class NamedActor(NamedTuple):
    """A person, team or place that a reference leads to; `phones` as far as its resource is known."""

    name: str
    phones: Sequence[str]


@clinical_table
def places_around() -> PlacesAround:
    """The data, read once from the file."""
    data = read_clinical_data("summary/people-around")
    return PlacesAround(
        roles=tuple(
            RoleGroup(_any_of(each["words"]), {_code(code): words for code, words in each["codes"].items()})
            for each in data["roles"]
        ),
        stays=frozenset(map(_code, data["stays"])),
        emergency=frozenset(map(_code, data["emergency"])),
        stay_words=tuple(data["stay-words"]),
        virtual_words=tuple(data["virtual-ward-words"]),
        away_words=tuple(data["away-words"]),
        death_codes=frozenset((_SNOMED, str(code)) for code in data["death-codes"]),
        death_words=frozenset(data["death-words"]),
        death_documents=frozenset(data["death-documents"]),
        death_dispositions=frozenset(map(_code, data["death-dispositions"])),
        death_disposition_words=frozenset(data["death-disposition-words"]),
    )


def _any_of(words: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b")


def _code(written: str) -> Code:
    system, _, code = written.rpartition("|")
    return (system, code)


def role_words(concept: Mapping[str, Any]) -> str:
    """The role in words: the source's, else those of its code."""
    words = concept_text(concept)
    codings = codes_of({"role": concept}, "role")
    if words and not any(words == code for _, code in codings):
        return words
    known = (group.codes[coding] for group in places_around().roles for coding in codings if coding in group.codes)
    return next(known, words)


def role_rank(concepts: Sequence[Mapping[str, Any]]) -> int:
    """The place of the most useful of the roles; the number of groups if it is in none."""
    groups = places_around().roles
    words = " | ".join(map(role_words, concepts)).casefold()
    codes = codes_of({"role": list(concepts)}, "role")
    for rank, group in enumerate(groups):
        if codes & group.codes.keys() or group.words.search(words):
            return rank
    return len(groups)


def actor(record: SummaryRecord, statement: Statement, reference: Mapping[str, Any]) -> NamedActor | None:
    """Whom a reference of a statement names; None for a patient, or if nobody is named."""
    found = record.resolve(statement, reference)
    if (found or {}).get("resourceType") == "Patient" or text_of(reference, "reference").startswith("Patient/"):
        return None
    if found is None:
        display = text_of(reference, "display")
        return NamedActor(display, ()) if display else None
    phones = contact_points(found, record.at)
    if text_of(found, "resourceType") == "PractitionerRole":
        return _practitioner(record, statement, found, phones) or NamedActor(text_of(reference, "display"), phones)
    own = text_of(found, "name") or next((name for each in objects_at(found, "name") if (name := human_name(each))), "")
    name = own or text_of(reference, "display")
    return NamedActor(name, phones) if name else None


def _practitioner(
    record: SummaryRecord, statement: Statement, role: Mapping[str, Any], phones: Sequence[str]
) -> NamedActor | None:
    reference = role.get("practitioner")
    if not isinstance(reference, dict):
        return None
    found = record.lookup.find(role, reference)
    name = name_of_person(found) if found else text_of(reference, "display")
    more = contact_points(found, record.at) if found else []
    return NamedActor(name, list(dict.fromkeys([*phones, *more]))) if name else None
