"""Finds texts that the copy for the person must not tell: harm, the word of others, where a person at risk lives.

The words are those of `schemas/summary/confidentiality.yaml`; addresses, phones and names are those of the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.reading import small_letters, words_pattern
from onestory.record.summary.person import human_name
from onestory.shared.fhir.json import objects_at, text_at, values_at

_POSTCODE = r"(?<![a-z0-9])[a-z]{1,2}[0-9][0-9a-z]? ?[0-9][a-z]{2}(?![a-z0-9])"
_HOUSE = r"(?<![a-z0-9])[0-9]{1,4}[a-z]? (?:[a-z']++ ){1,3}?"
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
_LEAST_ADDRESS, _LEAST_PHONE = 6, 9


class _CopyWords(NamedTuple):
    harm: re.Pattern[str]
    act: re.Pattern[str]
    told: re.Pattern[str]
    address: re.Pattern[str]


@clinical_table
def _words() -> _CopyWords:
    table = read_clinical_data("summary/confidentiality")["copy"]
    relative, telling = words_pattern(table["relatives"]).pattern, words_pattern(table["telling"]).pattern
    between = r"(?: [a-z'-]++){0,2}? "
    return _CopyWords(
        words_pattern(table["words"]),
        re.compile(rf"{words_pattern(table['acts']).pattern}{between}{relative}"),
        re.compile(rf"{relative}{between}{telling}|{telling}(?: us| me)? by{between[:-1]} {relative}"),
        re.compile(rf"{_HOUSE}{words_pattern(table['streets']).pattern}|{_POSTCODE}"),
    )


def tells_harm(said: str) -> bool:
    """Whether a text tells of harm or secrecy, or has the word of somebody else about the person."""
    letters, words = small_letters(said), _words()
    return any(each.search(letters) for each in (words.harm, words.act, words.told))


class ProtectedTexts(NamedTuple):
    """The addresses (letters and digits alone), phones (digits) and names of other people that texts may hold."""

    addresses: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    is_at_risk: bool = False

    def found_in(self, said: str) -> bool:
        """Whether a text names another person, or tells where a person at risk lives or can be rung."""
        letters = small_letters(said)
        if any(name in letters for name in self.names):
            return True
        if not self.is_at_risk:
            return False
        packed, digits = _packed(letters), "".join(filter(str.isdigit, letters))
        if any(address in packed for address in self.addresses) or any(phone in digits for phone in self.phones):
            return True
        return _words().address.search(letters) is not None


def protected_texts(people: Iterable[Mapping[str, Any]], *, is_at_risk: bool) -> ProtectedTexts:
    """The texts of a person's Patients, and of the RelatedPersons and contacts around the person."""
    addresses: set[str] = set()
    phones: set[str] = set()
    own: set[str] = set()
    others: set[str] = set()
    for each in people:
        addresses.update(_addresses(each))
        phones.update(_phones(each))
        named = own if each.get("resourceType") == "Patient" else others
        named.update(_names(each, "name"))
        others.update(_names(each, "contact", "name"))
    return ProtectedTexts(frozenset(addresses), frozenset(phones), frozenset(others - own), is_at_risk)


def _addresses(person: Mapping[str, Any]) -> Iterator[str]:
    for address in objects_at(person, "address"):
        lines = [each for each in values_at(address, "line") if isinstance(each, str)]
        for each in (*lines, text_at(address, "text"), text_at(address, "postalCode")):
            if len(packed := _packed(small_letters(each))) >= (_LEAST_ADDRESS - 1):
                yield packed


def _phones(person: Mapping[str, Any]) -> Iterator[str]:
    for point in (*objects_at(person, "telecom"), *objects_at(person, "contact", "telecom")):
        digits = "".join(filter(str.isdigit, text_at(point, "value")))
        if len(digits) >= _LEAST_PHONE:
            yield digits


def _names(person: Mapping[str, Any], *path: str) -> Iterator[str]:
    """Yields the names of two words or more; one word alone is too common."""
    for name in objects_at(person, *path):
        given, family = values_at(name, "given"), text_at(name, "family")
        first = next((each for each in given if isinstance(each, str)), "")
        for each in (human_name(name), f"{first} {family}"):
            letters = small_letters(each)
            if " " in letters.strip():
                yield letters.strip()


def _packed(letters: str) -> str:
    return _NOT_LETTERS.sub("", letters)
