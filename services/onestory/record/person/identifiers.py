"""What a source calls a person in its own numbering: a medical record number, not an NHS number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import orjson

from onestory.shared.errors import Malformed
from onestory.shared.events import Operation, RecordChanged
from onestory.shared.fhir.json import elements, value
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PROVISIONAL_SYSTEM,
    Keys,
    PersonIdentifier,
    is_keepable,
    is_nhs_number,
    is_nhs_number_system,
    parse_shared_id,
)


class LocalIdentifier(NamedTuple):
    """A row of `patient_identifier`: an identifier of a Patient statement."""

    system: str
    value: str
    person_key: str
    shared_id: str
    event_id: UUID
    organisation: str


class Bearer(NamedTuple):
    """A person of whom an organisation says that this is the local identifier."""

    person_key: str
    organisation: str


def local_identifiers(event: RecordChanged, person_key: str) -> Iterator[LocalIdentifier]:
    """The identifiers of the Patients that an event asserts, which are valid FHIR."""
    for entry in event.entries:
        if entry.resource_type != "Patient" or entry.operation is not Operation.ASSERT:
            continue
        stated = {
            (system, value)
            for each in orjson.loads(entry.content or b"{}").get("identifier", ())
            if (system := each.get("system")) and (value := each.get("value")) and not is_nhs_number_system(system)
        }
        for system, value in sorted(stated):
            if is_keepable(system) and is_keepable(value):
                yield LocalIdentifier(
                    system, value, person_key, entry.shared_id, event.event_id, event.source.organisation
                )


def candidates(bearers: Collection[Bearer], organisation: str) -> list[str]:
    """Keys of those whom the asker means: whom its own organisation calls so, else whom anybody does.

    Two organisations may number people in the same system, so another one's numbers never stand beside one's own.
    """
    own = {each.person_key for each in bearers if each.organisation == organisation}
    return sorted(own or {each.person_key for each in bearers})


# Whom a request is about: a Patient id, a reference to a Patient, or an identifier.


class PersonRef(NamedTuple):
    """The person that a request names, and the NHS number or the local identifier (system, value) if that is how.

    By a local identifier the key is nobody's, until the record says whose it is.
    """

    person_key: str
    number: str | None = None
    local: tuple[str, str] | None = None


def by_id(patient_id: str, keys: Keys) -> PersonRef | None:
    """The person behind a Patient id: an NHS number, or the shared id of a source's Patient. Else None."""
    if is_nhs_number(patient_id):
        return PersonRef(keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, patient_id)), patient_id)
    shared = parse_shared_id(patient_id)
    return PersonRef(shared.person_key) if shared else None


def by_address(resource_type: str, resource_id: str, keys: Keys) -> PersonRef | None:
    """The person whom `[type]/[id]` is about; None when the id is not in a form of ours."""
    if resource_type == "Patient":
        return by_id(resource_id, keys)
    shared = parse_shared_id(resource_id)
    return PersonRef(shared.person_key) if shared else None


def by_identifier(token: str, keys: Keys) -> PersonRef:
    """The person behind `system|value`; without a system it is an NHS number. Raises `Malformed`."""
    system, bar, value = token.partition("|")
    if not bar:
        system, value = NHS_NUMBER_SYSTEM, token
    if not system or not value or "\0" in token:
        raise Malformed("An identifier is given as system|value, or as a bare NHS number.", code="value")
    if not is_nhs_number_system(system):
        local = None if system == PROVISIONAL_SYSTEM else (system, value)
        return PersonRef(keys.person_key(PersonIdentifier(system, value)), local=local)
    number = value.replace(" ", "")
    if not is_nhs_number(number):
        raise Malformed("This NHS number is not valid: ten digits, the last of which checks the others.", code="value")
    return PersonRef(keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, number)), number)


def by_reference(value: str, keys: Keys, fhir: str) -> PersonRef:
    """The person behind `Patient/<id>`, its URL here, a bare id, or `system|value`. Raises `Malformed`.

    `fhir` is the FHIR base URL.
    """
    if "|" in value:
        return by_identifier(value, keys)
    asked = by_id(value.removeprefix(f"{fhir}/").removeprefix("Patient/"), keys)
    if asked is None:
        raise Malformed("A patient is given as NHS number, Patient/<id> or system|value.", code="value")
    return asked


# Names as they are compared: without case, accents, hyphens, apostrophes, and in any order.
#
# FHIR R4, http://hl7.org/fhir/R4/search.html#string: a value is found when it begins with what is asked.

# What Unicode does not take apart into a letter and a mark.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i"})


def words(text: str) -> list[str]:
    """The words of a name in plain letters: `O'Brien-Łukasz` is `o`, `brien`, `lukasz`."""
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in decomposed if not unicodedata.category(letter).startswith("M"))
    folded = unicodedata.normalize("NFKD", bare.casefold()).translate(_LETTERS)
    return "".join(letter if letter.isalnum() else " " for letter in folded).split()


def forms(text: str) -> frozenset[str]:
    """The ways in which a name may be asked for: each of its words, and all of them written as one."""
    found = words(text)
    return frozenset([*found, "".join(found)]) - {""}


def forms_of_all(texts: Iterable[str]) -> frozenset[str]:
    """The forms of several names, such as the family name and the given ones."""
    return frozenset().union(*map(forms, texts))


def name_matches(asked: str, known: Iterable[str]) -> bool:
    """Whether a name asked for is among forms of names: each of its words, or all as one, begins one of them."""
    listed, wanted = list(known), words(asked)
    each = all(any(form.startswith(word) for form in listed) for word in wanted)
    return bool(wanted) and (each or any(form.startswith("".join(wanted)) for form in listed))


# The names and the birth date of a Patient statement, as they are searched for.

_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?", re.ASCII)
# Nobody has more names than this, or longer ones; what is beyond is not searched.
_MOST_FORMS = 200
_LONGEST = 100


class PatientName(NamedTuple):
    """A row of `patient_name`."""

    person_key: str
    shared_id: str
    event_id: UUID
    birth_date: str
    forms: list[str]


def patient_name(person_key: str, shared_id: str, event_id: UUID, content: bytes) -> PatientName | None:
    """The row of a Patient statement; None for one that has no name or no birth date, or that cannot be read."""
    try:
        said = elements(content)
        birth_date, names = (value(said.get(name, {}), name) for name in ("birthDate", "name"))
    except msgspec.DecodeError:
        return None
    forms = forms_of_all(_texts(names))
    if not isinstance(birth_date, str) or not _DATE.fullmatch(birth_date) or not forms:
        return None
    kept = sorted(form for form in forms if len(form) <= _LONGEST)[:_MOST_FORMS]
    return PatientName(person_key, shared_id, event_id, birth_date, kept)


def dates_of(day: str) -> list[str]:
    """What a source may have stated of somebody who was born on this day: the day, or its month or year alone."""
    return [day, day[: len("2026-11")], day[: len("2026")]]


def _texts(names: Any) -> Iterator[str]:
    # What comes from Kafka was not all written by our own door.
    for name in names if isinstance(names, list) else ():
        if isinstance(name, dict):
            given = name.get("given")
            parts = [name.get("family"), name.get("text"), *(given if isinstance(given, list) else ())]
            yield from (part for part in parts if isinstance(part, str))
