"""Compares each source's Patient with the record's: may its statements be another person's? Pure.

A number that was mistyped files another person's record here. Differences that ordinary care makes are harmless:
case, accents, initials, middle and shortened names, a known former name, the order of names, a partial birth date.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.person.statements import DISAGREEMENT
from onestory.shared.fhir.json import objects_at, text_at, values_at

_COMPARED = frozenset({"name", "gender", "birthDate"})
_SEXES = {"male", "female"}
_WORD = re.compile(r"[^\W_]+")
_decoder = msgspec.json.Decoder(dict[str, Any])


class IdentityDoubt(NamedTuple):
    """A source whose Patient (`statement`, its shared id) differs from the record's in the `elements`.

    `stated` is that Patient; {} if the caller does not see it. `is_another`: it may be another person's record, and not
    only one with an error in it.
    """

    organisation: str
    statement: str
    stated: Mapping[str, Any]
    elements: frozenset[str]

    @property
    def is_another(self) -> bool:
        """Whether a given name differs, or more than one element does."""
        return "given" in self.elements or len(self.elements) > 1


def identity_doubts(patient: Mapping[str, Any], contents: Mapping[str, bytes]) -> list[IdentityDoubt]:
    """The sources that know the NHS number of a shared Patient as somebody else, by organisation and statement.

    `contents` has the sources' Patients by shared id, as far as the caller sees them.
    """
    differing: dict[tuple[str, str], set[str]] = {}
    for element, organisation, statement in _disagreements(patient):
        differing.setdefault((organisation, statement), set()).add(element)
    found = []
    for (organisation, statement), elements in sorted(differing.items()):
        raw = contents.get(statement)
        stated = _decoder.decode(raw) if raw else {}
        real = frozenset(_differences(patient, stated)) if stated else frozenset(elements)
        if real:
            found.append(IdentityDoubt(organisation, statement, stated, real))
    return found


def _disagreements(patient: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for extension in objects_at(patient, "extension"):
        if extension.get("url") == DISAGREEMENT:
            parts = {text_at(part, "url"): part for part in objects_at(extension, "extension")}
            element = text_at(parts.get("element"), "valueCode")
            organisation = text_at(parts.get("source"), "valueReference", "identifier", "value")
            statement = text_at(parts.get("statement"), "valueReference", "reference").removeprefix("Patient/")
            if element in _COMPARED:
                yield element, organisation, statement


def _differences(record: Mapping[str, Any], stated: Mapping[str, Any]) -> Iterator[str]:
    yield from _name_differences(record, stated)
    sexes = (record.get("gender"), stated.get("gender"))
    if set(sexes) == _SEXES:
        yield "gender"
    days = (text_at(record, "birthDate"), text_at(stated, "birthDate"))
    if all(days) and not days[0].startswith(days[1]) and not days[1].startswith(days[0]):
        yield "birthDate"


def _name_differences(record: Mapping[str, Any], stated: Mapping[str, Any]) -> Iterator[str]:
    """Yields `given` and `family`, whichever no known name of the person explains."""
    known_given, known_family = _words(record, "given"), _words(record, "family")
    given, family = _words(stated, "given") - _unnamed(), _words(stated, "family")
    if known_given and known_given <= _unnamed():
        # A baby before it is named: the source may know the name that it got, and the family name with it.
        return
    if not given and _words(stated, "given") and text_at(record, "birthDate") == text_at(stated, "birthDate"):
        # The source knows the same baby from before it was named, by the family name of its mother.
        return
    whole = _words(stated, "text")
    known = known_given | known_family | _words(record, "text")
    if not known:
        return
    if not given and not family:
        if whole and not any(_same_word(one, other) for one in whole for other in known):
            yield "given"
            yield "family"
        return
    # Given and family name may stand in each other's place.
    if given & known_family and family & known_given:
        return
    if given and not any(_same_given(one, other) for one in given for other in known_given or known):
        yield "given"
    if family and not any(_same_word(one, other) for one in family for other in known_family or known):
        yield "family"


def _words(patient: Mapping[str, Any], part: str) -> set[str]:
    """The words of a part of all names, in small letters and without accents."""
    written = " ".join(each for each in values_at(patient, "name", part) if isinstance(each, str))
    plain = "".join(char for char in unicodedata.normalize("NFKD", written) if not unicodedata.combining(char))
    return set(_WORD.findall(plain.replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "").casefold()))


def _same_given(one: str, other: str) -> bool:
    if _same_word(one, other) or one.startswith(other) or other.startswith(one):
        return True
    return bool(_forms().get(one, frozenset()) & _forms().get(other, frozenset()))


def _same_word(one: str, other: str) -> bool:
    """Whether two words are equal, or differ by one letter or two that changed places, and are not short."""
    if one == other:
        return True
    if min(len(one), len(other)) < 5 or abs(len(one) - len(other)) > 1:
        return False
    start = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    if start is None:
        return True
    left, right = one[start:], other[start:]
    swapped = left[1::-1] + left[2:]
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped == right


@clinical_table
def _forms() -> Mapping[str, frozenset[int]]:
    """The lines of `schemas/summary/names.yaml` in which a given name stands."""
    lines = read_clinical_data("summary/names")["given"]
    return {
        name: frozenset(number for number, line in enumerate(lines) if name in line)
        for name in {each for line in lines for each in line}
    }


@clinical_table
def _unnamed() -> frozenset[str]:
    return frozenset(read_clinical_data("summary/names")["unnamed"])
