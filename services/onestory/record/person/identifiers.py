"""How a person is named: by identifiers, by references in a request, and by name and birth date. Pure."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import orjson

from onestory.shared.errors import Malformed
from onestory.shared.events import Operation, RecordChanged
from onestory.shared.fhir.dates import parse_date
from onestory.shared.fhir.json import element_value, elements
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PROVISIONAL_SYSTEM,
    Keys,
    PersonIdentifier,
    is_former_use,
    is_nhs_number,
    is_nhs_number_system,
    is_storable,
    parse_shared_id,
)


class PersonRef(NamedTuple):
    """The person that a request names.

    `number` is the NHS number, `local` the local identifier (system, value), if the request names the person that way.
    With a local identifier, no person has `person_key` until the record has been searched for the identifier.
    """

    person_key: str
    number: str | None = None
    local: tuple[str, str] | None = None


def ref_from_patient_id(patient_id: str, keys: Keys) -> PersonRef | None:
    """The person behind a Patient id: an NHS number, or the shared id of a source's Patient. None for any other id."""
    if is_nhs_number(patient_id):
        return PersonRef(keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, patient_id)), patient_id)
    shared = parse_shared_id(patient_id)
    return PersonRef(shared.person_key) if shared else None


def ref_from_address(resource_type: str, resource_id: str, keys: Keys) -> PersonRef | None:
    """The person whom the resource `[type]/[id]` is about; None when the id has no form that OneStory gives."""
    if resource_type == "Patient":
        return ref_from_patient_id(resource_id, keys)
    shared = parse_shared_id(resource_id)
    return PersonRef(shared.person_key) if shared else None


def ref_from_identifier(token: str, keys: Keys) -> PersonRef:
    """The person behind `system|value`, or behind a bare NHS number. Raises `Malformed`."""
    system, bar, value = token.partition("|")
    if not bar:
        system, value = NHS_NUMBER_SYSTEM, token
    if not system or not value or "\0" in token:
        raise Malformed("The identifier has no known form. Send system|value, or a bare NHS number.", code="value")
    if not is_nhs_number_system(system):
        local = None if system == PROVISIONAL_SYSTEM else (system, value)
        return PersonRef(keys.person_key(PersonIdentifier(system, value)), local=local)
    number = value.replace(" ", "")
    if not is_nhs_number(number):
        raise Malformed("The NHS number is not valid. Send ten digits with a correct check digit.", code="value")
    return PersonRef(keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, number)), number)


def ref_from_reference(value: str, keys: Keys, fhir: str) -> PersonRef:
    """The person behind `Patient/<id>`, that reference as a URL of this server, a bare id, or `system|value`.

    `fhir` is the FHIR base URL. Raises `Malformed`.
    """
    if "|" in value:
        return ref_from_identifier(value, keys)
    ref = ref_from_patient_id(value.removeprefix(f"{fhir}/").removeprefix("Patient/"), keys)
    if ref is None:
        raise Malformed(
            "The patient has no known form. Send an NHS number, Patient/<id> or system|value.", code="value"
        )
    return ref


# Local identifiers, such as a medical record number.


class LocalIdentifier(NamedTuple):
    """A row of `patient_identifier`: an identifier in a Patient statement that is no NHS number."""

    system: str
    value: str
    person_key: str
    shared_id: str
    event_id: UUID
    organisation: str


def local_identifiers(event: RecordChanged, person_key: str) -> Iterator[LocalIdentifier]:
    """The local identifiers that the Patients have now whom an event asserts. Their content is valid FHIR."""
    for entry in event.entries:
        if entry.resource_type != "Patient" or entry.operation is not Operation.ASSERT:
            continue
        stated = {
            (system, value)
            for identifier in orjson.loads(entry.content or b"{}").get("identifier", ())
            if (system := identifier.get("system"))
            and (value := identifier.get("value"))
            and not is_nhs_number_system(system)
            and not is_former_use(identifier.get("use"))
        }
        for system, value in sorted(stated):
            if is_storable(system) and is_storable(value):
                yield LocalIdentifier(
                    system, value, person_key, entry.shared_id, event.event_id, event.source.organisation
                )


class IdentifierMatch(NamedTuple):
    """A person, and an organisation whose statement gives that person the identifier."""

    person_key: str
    organisation: str


def matching_person_keys(matches: Collection[IdentifierMatch], organisation: str) -> list[str]:
    """The person keys that the caller may mean: those by its own organisation's statements, else those by any.

    Two organisations may use the same system for different people, so matches of both are never mixed.
    """
    own = {match.person_key for match in matches if match.organisation == organisation}
    return sorted(own or {match.person_key for match in matches})


_WORD = re.compile(r"[A-Z0-9]+")
_ODS_CODE = re.compile(r"[A-Z][A-Z0-9]{2,5}")


def ods_codes_in(system: str) -> tuple[frozenset[str], frozenset[str]]:
    """The words in an identifier system that have the form of an ODS code: those with a digit, and the others.

    `https://rz3.nhs.uk/Id/mrn` has `RZ3`, and `HTTPS`, `NHS` and `MRN`, which are codes only if such organisations are
    known.
    """
    words = {word for word in _WORD.findall(system.upper()) if _ODS_CODE.fullmatch(word)}
    certain = frozenset(word for word in words if any(letter.isdigit() for letter in word))
    return certain, frozenset(words - certain)


# Names and birth dates, as they are searched.


# No person has more names than this, or longer ones. Names beyond these limits cannot be searched.
_MAX_FORMS = 200
_MAX_FORM_LENGTH = 100


class PatientName(NamedTuple):
    """A row of `patient_name`: the birth date and the name forms of a Patient statement."""

    person_key: str
    shared_id: str
    event_id: UUID
    birth_date: str
    forms: list[str]


def patient_name_row(person_key: str, shared_id: str, event_id: UUID, content: bytes) -> PatientName | None:
    """The row of a Patient statement; None when it has no name or no birth date, or cannot be parsed."""
    try:
        parts = elements(content)
        birth_date, names = (element_value(parts.get(name, {}), name) for name in ("birthDate", "name"))
    except msgspec.DecodeError:
        return None
    forms = all_name_forms(_name_texts(names))
    stated = parse_date(birth_date)
    if stated is None or stated.is_time or not forms:
        return None
    stored = sorted(form for form in forms if len(form) <= _MAX_FORM_LENGTH)[:_MAX_FORMS]
    return PatientName(person_key, shared_id, event_id, birth_date, stored)


def birth_date_forms(day: str) -> list[str]:
    """The values that a source may have stated for this birth date: the day, its month, or its year."""
    return [day, day[: len("2026-11")], day[: len("2026")]]


def _name_texts(names: Any) -> Iterator[str]:
    # A message in Kafka may not have passed intake, so its JSON may have any shape.
    for name in names if isinstance(names, list) else ():
        if isinstance(name, dict):
            given = name.get("given")
            parts = [name.get("family"), name.get("text"), *(given if isinstance(given, list) else ())]
            yield from (part for part in parts if isinstance(part, str))


def name_matches(words: Sequence[str], known: Iterable[str]) -> bool:
    """Whether a searched name matches: each of its words, or all as one, begins one of the `known` forms, in any order.

    `words` are the words of the searched name. FHIR R4, http://hl7.org/fhir/R4/search.html#string.
    """
    return words_begin_forms(words, sorted(known))


def words_begin_forms(words: Sequence[str], forms: Sequence[str]) -> bool:
    """The test of `name_matches` for forms that are sorted."""
    return bool(words) and (all(_begins_one(word, forms) for word in words) or _begins_one("".join(words), forms))


def _begins_one(word: str, forms: Sequence[str]) -> bool:
    """Whether a word begins one of the sorted forms: then it begins the first form that does not come before it."""
    place = bisect_left(forms, word)
    return place < len(forms) and forms[place].startswith(word)


def all_name_forms(texts: Iterable[str]) -> frozenset[str]:
    """The forms of several names, such as the family name and the given names."""
    return frozenset().union(*map(name_forms, texts))


def name_forms(text: str) -> frozenset[str]:
    """The forms in which a name may be searched: each of its words, and all words as one."""
    words = name_words(text)
    return frozenset([*words, "".join(words)]) - {""}


def name_words(text: str) -> list[str]:
    """The words of a name in plain letters, without case, accents, hyphens and apostrophes.

    `O'Brien-Łukasz` gives `o`, `brien`, `lukasz`.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in decomposed if not unicodedata.category(letter).startswith("M"))
    folded = unicodedata.normalize("NFKD", bare.casefold()).translate(_PLAIN_LETTERS)
    return "".join(letter if letter.isalnum() else " " for letter in folded).split()


# Letters that Unicode does not decompose into a letter and a mark.
_PLAIN_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i"})
