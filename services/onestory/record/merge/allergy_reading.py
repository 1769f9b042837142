"""Reads what a statement of any type tells of an allergy: its allergens, and whether it asserts or denies them.

GP and hospital systems often record an allergy as a Condition, an Observation or a Flag. The words and codes are in
`schemas/merge/allergy-words.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from onestory.record.clinical_data import read_clinical_data
from onestory.record.merge.allergens import allergens_in, known_allergens, phrase_pattern
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.json import Code, codes_of, concept_text, text_at, values_at

ACTIVE, QUERIED, RESOLVED, REFUTED, DENIED = "active", "queried", "resolved", "refuted", "denied"
FAMILY = "family"
"""The standings of an allergy. `DENIED`: the source says that there is none, of a category or at all. `FAMILY`: a
relative has it."""
TYPES_WITH_ALLERGIES = ("Condition", "Observation", "Flag", "DetectedIssue", "AdverseEvent")
"""Types besides AllergyIntolerance that may tell of an allergy."""
_SNOMED = "http://snomed.info/sct"
_GONE = ("resolved", "inactive", "remission")
_NOT_SURE = ("unconfirmed", "provisional", "differential")
_NO_VALUE = ("cancelled", "registered")
_MAX_VALUE_LENGTH = 300
"""A longer text of an Observation is a letter or a note, and stays where it is."""
# A quick look that most statements do not pass.
_MENTION = re.compile(
    r"allerg|anaphyla|adverse|hypersens|intoler|sensitiv|due to|caused by|secondary to|nka|nkda|degraded"
)

_NO_SUCH_ALLERGY = re.compile(r"\bno (?:known )?(?:[\w'-]+ ){1,2}allerg(?:y|ies)\b")
"""A denial of one allergy, such as "no known latex allergy"."""


class AllergyReading(NamedTuple):
    """What a statement tells of an allergy.

    `words`: what it is about, as the source wrote it. `allergens`: names of known allergens. `categories`: FHIR
    categories that it names or denies; empty: any. `is_reaction`: it tells of a reaction, which may be long over.
    """

    words: str
    standing: str
    allergens: frozenset[str]
    categories: frozenset[str]
    is_reaction: bool

    @property
    def asserts(self) -> bool:
        """Whether it says that the person has the allergy, or may have it."""
        return self.standing in (ACTIVE, QUERIED)


@dataclass(frozen=True, slots=True)
class AllergyWords:
    """The content of `schemas/merge/allergy-words.yaml`, which explains each part.

    `denial_codes` are those of `none-known.yaml`, with the categories that they deny.
    """

    codes: frozenset[Code]
    denial_codes: Mapping[Code, frozenset[str]]
    heading_codes: frozenset[Code]
    patterns: Mapping[str, re.Pattern[str]]
    nothing: frozenset[str]
    headings: frozenset[str]
    categories: Mapping[str, frozenset[str]]


class _Told(NamedTuple):
    """What a text tells: whether of an allergy, with which standing, and whether of a reaction."""

    standing: str
    is_reaction: bool


@cache
def allergy_words() -> AllergyWords:
    """The words, read once. Raises `Misconfigured` when the file lacks a part."""
    try:
        raw = read_clinical_data("merge/allergy-words")
        phrases = (
            "allergy",
            "sensitivity",
            "reactions",
            "causes",
            "other",
            "denials",
            "queried",
            "resolved",
            "refuted",
        )
        return AllergyWords(
            codes=frozenset((_SNOMED, code) for code in raw["codes"]) | known_allergens().names_by_code.keys(),
            denial_codes={
                (each["system"], each["code"]): frozenset(each.get("of", ()))
                for each in read_clinical_data("merge/none-known")["AllergyIntolerance"]
            },
            heading_codes=frozenset((each.partition("|")[0], each.partition("|")[2]) for each in raw["heading-codes"]),
            patterns={name: phrase_pattern(raw[name]) for name in (*phrases, "family", "never")},
            nothing=frozenset(each.casefold() for each in raw["nothing"]),
            headings=frozenset(each.casefold() for each in raw["headings"]),
            categories={word: frozenset(values) for word, values in raw["categories"].items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"schemas/merge/allergy-words.yaml cannot be used: {error!r}.") from error


def read_allergy(resource_type: str, content: Mapping[str, Any]) -> AllergyReading | None:
    """What a statement tells of an allergy; None if it tells of none. An AllergyIntolerance always does."""
    if resource_type == "AllergyIntolerance":
        return _read_allergy_intolerance(content)
    if resource_type not in TYPES_WITH_ALLERGIES:
        return None
    if resource_type == "Observation":
        return _read_observation(content)
    element = "event" if resource_type == "AdverseEvent" else "code"
    concept = content.get(element)
    if not isinstance(concept, dict):
        return None
    words = _all_words(concept)
    told = _told(words)
    found_codes = codes_of(content, element)
    if denied := _denied_by_code(concept_text(concept), found_codes):
        return denied
    if told is None:
        if found_codes.isdisjoint(allergy_words().codes) or _is_family_history(words):
            return None
        told = _Told(ACTIVE, is_reaction=False)
    standing = _standing(content, told)
    shown = " ".join([concept_text(concept), *_suspects(content)])
    return _reading(shown, f"{words} {shown}", found_codes, standing, is_reaction=told.is_reaction)


def _read_allergy_intolerance(content: Mapping[str, Any]) -> AllergyReading:
    words = _all_words(content.get("code"))
    substances = " ".join(_all_words(each) for each in values_at(content, "reaction", "substance"))
    told = _told(words) or _Told(ACTIVE, is_reaction=False)
    found_codes = codes_of(content, "code")
    if denied := _denied_by_code(concept_text(content.get("code")), found_codes):
        return denied
    if _is_family_history(words):
        told = _Told(FAMILY, is_reaction=False)
    if told.standing == DENIED and not found_codes.isdisjoint(known_allergens().names_by_code):
        # The code names an allergen: its words alone make no denial of it.
        told = _Told(ACTIVE, is_reaction=False)
    reading = _reading(
        concept_text(content.get("code")),
        f"{words} {substances}",
        found_codes,
        _standing(content, told),
        is_reaction=False,
    )
    stated = frozenset(each for each in values_at(content, "category") if isinstance(each, str))
    return reading._replace(categories=stated or reading.categories) if reading.standing != DENIED else reading


def _read_observation(content: Mapping[str, Any]) -> AllergyReading | None:
    if "valueQuantity" in content or "component" in content or content.get("status") in _NO_VALUE:
        return None
    name, value = _all_words(content.get("code")), _value_words(content)
    found_codes = codes_of(content, "code")
    heading = concept_text(content.get("code"))
    words = allergy_words()
    value_codes = codes_of(content, "valueCodeableConcept")
    if denied := _denied_by_code(value or heading, found_codes | value_codes):
        return denied
    is_nothing = value.strip(" .").casefold() in words.nothing or content.get("valueBoolean") is False
    if heading.strip(" :.").casefold() in words.headings or not found_codes.isdisjoint(words.heading_codes):
        told = _told(value) or _Told(ACTIVE, is_reaction=False)
        standing = DENIED if is_nothing else told.standing
        shown = f"{heading}: {value}" if standing == DENIED else value or heading
        named = f"{heading} {value}" if standing == DENIED else value
        return _reading(shown, named, value_codes, standing, is_reaction=told.is_reaction)
    told_of_name = _told(name)
    if told_of_name is None and not found_codes.isdisjoint(words.codes) and not _is_family_history(name):
        told_of_name = _Told(ACTIVE, is_reaction=False)
    if told_of_name is not None:
        standing = DENIED if is_nothing else told_of_name.standing
        shown = f"{heading}: {value}" if value else heading
        return _reading(shown, f"{name} {value}", found_codes, standing, is_reaction=told_of_name.is_reaction)
    told_of_value = _told(value) if len(value) <= _MAX_VALUE_LENGTH else None
    if told_of_value is None:
        return None
    return _reading(
        f"{heading}: {value}",
        value,
        value_codes,
        told_of_value.standing,
        is_reaction=told_of_value.is_reaction,
    )


def _denied_by_code(words: str, found_codes: Iterable[Code]) -> AllergyReading | None:
    """The reading of a statement with a code that says "none known"; None if it has no such code."""
    denials = allergy_words().denial_codes
    stated = next((denials[code] for code in sorted(found_codes) if code in denials), None)
    return None if stated is None else AllergyReading(words, DENIED, frozenset(), stated, is_reaction=False)


def _value_words(content: Mapping[str, Any]) -> str:
    if "valueCodeableConcept" in content:
        return concept_text(content["valueCodeableConcept"])
    return text_at(content, "valueString")


def _reading(
    words: str, named: str, found_codes: Iterable[Code], standing: str, *, is_reaction: bool
) -> AllergyReading:
    known = known_allergens()
    by_code = {known.names_by_code[code] for code in found_codes if code in known.names_by_code}
    # The code names the allergen better than words, which may name what was tolerated instead.
    allergens = frozenset(by_code) or allergens_in(named)
    folded = named.casefold()
    stated = [values for word, values in allergy_words().categories.items() if word in folded]
    by_words: frozenset[str] = frozenset[str]().union(*stated)
    by_allergen = known.categories_of(allergens)
    # "No drug allergies" covers all drugs; "drug allergy: latex" is about latex.
    categories = (by_words or by_allergen) if standing == DENIED else (by_allergen or by_words)
    return AllergyReading(words, standing, allergens, categories, is_reaction)


def _standing(content: Mapping[str, Any], told: _Told) -> str:
    """The standing by the statuses of the resource, and else by its words."""
    if told.standing in (DENIED, FAMILY):
        return told.standing
    verification = values_at(content, "verificationStatus", "coding", "code")
    if "refuted" in verification or told.standing == REFUTED:
        return REFUTED
    clinical = values_at(content, "clinicalStatus", "coding", "code")
    has_ended = any(name.startswith("abatement") for name in content) or content.get("status") == "inactive"
    if (any(status in clinical for status in _GONE) and "active" not in clinical) or has_ended:
        # The end of a reaction is no end of the allergy.
        return ACTIVE if told.is_reaction else RESOLVED
    if told.standing == ACTIVE and any(status in verification for status in _NOT_SURE):
        return QUERIED
    return told.standing


def _all_words(concept: object) -> str:
    """The text of a CodeableConcept and the displays of its codes."""
    if not isinstance(concept, dict):
        return ""
    displays = [each for each in values_at(concept, "coding", "display") if isinstance(each, str)]
    return " | ".join(dict.fromkeys([text for text in [text_at(concept, "text"), *displays] if text]))


def _suspects(content: Mapping[str, Any]) -> list[str]:
    """The names of what an AdverseEvent or DetectedIssue suspects, in brackets."""
    displays = [
        *values_at(content, "suspectEntity", "instance", "display"),
        *values_at(content, "implicated", "display"),
    ]
    return [f"({each})" for each in displays if isinstance(each, str)]


def _is_family_history(words: str) -> bool:
    return bool(allergy_words().patterns["family"].search(words.casefold()))


@lru_cache(maxsize=16384)
def _told(words: str) -> _Told | None:
    """What a text tells of an allergy; None if it tells of none, of a disease or test, or of a relative's allergy."""
    folded = words.casefold()
    if not _MENTION.search(folded):
        return None
    patterns = allergy_words().patterns
    if patterns["family"].search(folded) or patterns["never"].search(folded):
        return None
    cleaned = patterns["other"].sub(" ", folded)
    rest = _NO_SUCH_ALLERGY.sub(" ", patterns["denials"].sub(" ", cleaned))
    if not _tells(rest):
        return _Told(DENIED, is_reaction=False) if rest != cleaned else None
    is_reaction = not any(
        word in rest for word in ("allergy", "allergies", "allergic to", "intoler", "hypersensitivity to")
    )
    for standing, name in ((REFUTED, "refuted"), (RESOLVED, "resolved"), (QUERIED, "queried")):
        if patterns[name].search(folded):
            return _Told(standing, is_reaction)
    return _Told(QUERIED if folded.lstrip().startswith("?") else ACTIVE, is_reaction)


def _tells(words: str) -> bool:
    patterns = allergy_words().patterns
    if patterns["allergy"].search(words):
        return True
    if not allergens_in(words):
        return False
    has_reaction = patterns["causes"].search(words) and patterns["reactions"].search(words)
    return bool(has_reaction or patterns["sensitivity"].search(words))
