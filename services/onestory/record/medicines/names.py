"""Finds ingredients, forms and strengths in names of medicines, by the names in `schemas/merge/medicines.yaml`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.medicines.directions import unit_of
from onestory.record.medicines.dmd import SNOMED, loaded_release, present_dmd_code
from onestory.shared.fhir.json import Code

_WORD = re.compile(r"[\w][\w'\-/]*")
_FUZZY_LENGTH = 7
_LONGEST_NAME = 6
_STRENGTH = re.compile(
    r"(?<![\w.])(?<!\d,)(\d[\d,]*+(?:\.\d+)?)\s*+(micrograms?|mcg|mg|g|units?|million units|iu|ml)(?![a-z])"
    r"(?:\s*/\s*(\d+(?:\.\d+)?)?\s*(ml|dose|actuation|puff|tablet|capsule|hours|hour|hr|h|g)(?![a-z]))?"
)
_PER_COUNT = {"", "dose", "actuation", "puff", "tablet", "capsule", "hour", "hours", "hr", "h"}
"""A patch counts as one piece of what it releases in an hour, or in the hours that it names."""


class Strength(NamedTuple):
    """So much (`kind`: mass in micrograms, or unit) in one piece, or in one ml if `per` is volume."""

    kind: str
    value: float
    per: str


@dataclass(frozen=True, slots=True)
class MedicineClass:
    """Medicines of which two should not be current. `any_source`: also not within one source."""

    name: str
    words: str
    any_source: bool
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The names of medicines. `names`: each name to its ingredients; `brands`: the names that are brands."""

    names: Mapping[str, tuple[str, ...]]
    brands: frozenset[str]
    longest: int
    by_initial: Mapping[str, Sequence[str]]
    salts: frozenset[str]
    forms: Mapping[str, str]
    release: frozenset[str]
    classes: tuple[MedicineClass, ...]
    same_brand: frozenset[str]
    previous_ids: Mapping[str, str]


@clinical_table
def lexicon() -> Lexicon:
    """The lexicon, read once: the names of the data file, and the VTMs of a loaded dm+d release that it lacks."""
    data = read_clinical_data("merge/medicines")
    names: dict[str, tuple[str, ...]] = {}
    brands: set[str] = set()
    for ingredient, own_brands in data["ingredients"].items():
        names |= dict.fromkeys((ingredient, *own_brands), (ingredient,))
        brands.update(own_brands)
    for ingredient, others in data["synonyms"].items():
        names |= dict.fromkeys(others, (ingredient,))
    for combination, each in data["combinations"].items():
        names |= {name: tuple(each["of"]) for name in (combination, *each["brands"])}
        brands.update(each["brands"])
    names |= _further_names(names, loaded_release().moieties.values())
    by_initial: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        if " " not in name and len(name) >= _FUZZY_LENGTH:
            by_initial[name[0]].append(name)
    return Lexicon(
        names,
        frozenset(brands),
        max(len(name.split()) for name in names),
        by_initial,
        frozenset(data["salts"]),
        {word: form for form, words in data["forms"].items() for word in words},
        frozenset(data["release"]),
        tuple(
            MedicineClass(name, each["words"], each["sources"] == "any", frozenset(each["of"]))
            for name, each in data["classes"].items()
        ),
        frozenset(data["same_brand"]),
        dict(data["previous_ids"]),
    )


def _further_names(names: Mapping[str, tuple[str, ...]], moieties: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The names of VTMs in which no name is known; of a combination `A + B`, each part is a name."""
    longest = max(len(name.split()) for name in names)
    found: dict[str, tuple[str, ...]] = {}
    for part in (part for name in moieties for part in name.casefold().split(" + ")):
        words = words_of(part)
        phrases = (_phrase(words, place, size) for place in range(len(words)) for size in range(1, longest + 1))
        if 0 < len(words) <= _LONGEST_NAME and not any(phrase in names for phrase in phrases):
            found[" ".join(words)] = (" ".join(words),)
    return found


def present_code(code: Code) -> Code:
    """The code that replaced this one in dm+d; the code itself if none did."""
    present = lexicon().previous_ids.get(code[1])
    return present_dmd_code((code[0], present) if present and code[0] == SNOMED else code)


def words_of(name: str) -> list[str]:
    """The words of a name in the form in which they are compared."""
    return _WORD.findall(" ".join(name.casefold().replace("(", " ( ").split()))


def named_medicines(words: Sequence[str], *, fuzzy: bool = False) -> Iterator[str]:
    """Yields the names of the lexicon that the words hold, the longest first at each place.

    `fuzzy`: if there is none, a long word may differ in one letter, provided that it is like one name only.
    """
    names, longest, found, place = lexicon().names, lexicon().longest, False, 0
    while place < len(words):
        size = next(
            (size for size in range(min(longest, len(words) - place), 0, -1) if _phrase(words, place, size) in names), 0
        )
        if size:
            found = True
            yield _phrase(words, place, size)
        place += size or 1
    if fuzzy and not found:
        yield from (name for word in words if (name := _alike(word)))


def _phrase(words: Sequence[str], place: int, size: int) -> str:
    return " ".join(words[place : place + size])


def _alike(word: str) -> str:
    if len(word) < _FUZZY_LENGTH:
        return ""
    alike = [name for name in lexicon().by_initial.get(word[0], ()) if _one_letter_apart(word, name)]
    return alike[0] if len(alike) == 1 else ""


def _one_letter_apart(one: str, other: str) -> bool:
    """Whether one letter is missing, added, changed, or swapped with its neighbour."""
    if abs(len(one) - len(other)) > 1:
        return False
    place = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest, other_rest = one[place:], other[place:]
    return (
        rest[1:] == other_rest[1:]
        or rest[1:] == other_rest
        or rest == other_rest[1:]
        or (rest[:2] == other_rest[1::-1] and len(rest) > 1 and rest[2:] == other_rest[2:])
    )


def strengths_of(name: str) -> tuple[Strength, ...]:
    """The strengths that a name states, in its order: 500 mg and 125 mg for `Co-amoxiclav 500mg/125mg tablets`."""
    return tuple(_strengths(name.casefold()))


def _strengths(name: str) -> Iterator[Strength]:
    for found in _STRENGTH.finditer(name):
        number, unit, size, per = found.groups()
        known = unit_of(unit)
        factor = known[1] if known else 1e6 if unit == "million units" else 0
        kind = known[0] if known else "unit"
        value = float(number.replace(",", "")) * factor
        if kind == "volume" or not value:
            continue
        if (per or "") in _PER_COUNT:
            yield Strength(kind, value, "count")
        elif per == "ml" and float(size or 1):
            yield Strength(kind, value / float(size or 1), "volume")
