"""Reads what a statement of any type tells of an allergy: its allergens, and whether it asserts or denies them.

GP and hospital systems often record an allergy as a Condition, an Observation or a Flag. The words and codes are in
`schemas/merge/allergy-words.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from onestory.record.merge.allergens import known_allergens
from onestory.record.merge.allergy_mentions import is_long, mention_words, read_mention, tells_of_cause
from onestory.record.merge.allergy_phrases import (
    ACTIVE,
    DENIED,
    FAMILY,
    QUERIED,
    REFUTED,
    RESOLVED,
    UNKNOWN,
    AllergyReading,
    Told,
    allergy_words,
    is_family_history,
    qualified,
    reading_of,
    says_unknown,
    tell,
)
from onestory.record.merge.medicine_warnings import warning_named
from onestory.shared.fhir.json import Code, codes_of, concept_text, concept_texts, objects_at, text_at, values_at
from onestory.shared.fhir.resource import CodedConcept, concept_at, read_once, read_once_by_type

_BY_THEIR_NAME = ("Condition", "Observation", "Flag", "DetectedIssue", "AdverseEvent")
"""Types whose name tells of an allergy; then the statement is about nothing else."""
_GONE = ("resolved", "inactive", "remission")
_NOT_SURE = ("unconfirmed", "provisional", "differential")
_NO_VALUE = ("cancelled", "registered")
_WORDED = frozenset(["valueString", "valueCodeableConcept"])
_MAX_VALUE_LENGTH = 300
"""A longer text of an Observation is a letter or a note, and stays where it is."""


@cache
def types_with_allergies() -> tuple[str, ...]:
    """The types besides AllergyIntolerance that may tell of an allergy."""
    return tuple(dict.fromkeys([*_BY_THEIR_NAME, *mention_words().elements]))


def read_allergy(resource_type: str, content: Mapping[str, Any]) -> AllergyReading | None:
    """What a statement tells of an allergy; None if it tells of none. An AllergyIntolerance always does."""
    if resource_type == "AllergyIntolerance":
        return _read_allergy_intolerance(content)
    return _read_other(resource_type, content) if resource_type in types_with_allergies() else None


@read_once_by_type
def _read_other(resource_type: str, content: Mapping[str, Any]) -> AllergyReading | None:
    if resource_type not in _BY_THEIR_NAME:
        return read_mention(resource_type, content)
    if resource_type == "Observation":
        told = _read_observation(content)
    else:
        told = None if is_long(content) else _read_name(resource_type, content)
    return told or warning_named(resource_type, content) or read_mention(resource_type, content)


def _read_name(resource_type: str, content: Mapping[str, Any]) -> AllergyReading | None:
    """What the name of a Condition, Flag, DetectedIssue or AdverseEvent tells."""
    element = "event" if resource_type == "AdverseEvent" else "code"
    if not (_may_name_allergy(concept_at(content, element)) or _is_of_category(content)):
        return None
    concept = content.get(element)
    if not isinstance(concept, dict):
        return None
    words = _all_words(concept)
    told = tell(words)
    found_codes = codes_of(content, element)
    if denied := _denied_by_code(concept_text(concept), found_codes):
        return denied
    if told is None:
        is_named = not found_codes.isdisjoint(allergy_words().codes) or _is_of_category(content)
        if not is_named or is_family_history(words):
            return None
        told = Told(ACTIVE, is_reaction=False)
    standing = _standing(content, qualified(told, concept_text(concept)))
    shown = " ".join([concept_text(concept), *_suspects(content)])
    reading = reading_of(shown, f"{words} {shown}", found_codes, standing, is_reaction=told.is_reaction)
    if reading.allergens or "note" not in content:
        return reading
    # "Adverse reaction to drug" has its drug in a note.
    noted = [each for each in values_at(content, "note", "text") if isinstance(each, str) and tells_of_cause(each)]
    return reading_of(shown, f"{words} {' '.join(noted)}", found_codes, standing, is_reaction=told.is_reaction)


@read_once
def _may_name_allergy(concept: CodedConcept) -> bool:
    """Whether the words or codes of a name tell of an allergy. Most names do not."""
    known = allergy_words()
    if not (known.codes.isdisjoint(concept.codes) and known.denial_codes.keys().isdisjoint(concept.codes)):
        return True
    return tell(" | ".join(concept.names)) is not None


def _is_of_category(content: Mapping[str, Any]) -> bool:
    """Whether the category of an alert or a problem is that of allergies, so that its name is the allergen."""
    headings = allergy_words().headings
    return "category" in content and any(_plain(each) in headings for each in concept_texts(content, "category"))


@read_once
def _read_allergy_intolerance(content: Mapping[str, Any]) -> AllergyReading:
    words = _all_words(content.get("code"))
    if without := _without_allergen(words, codes_of(content, "code")):
        return without
    substances = " ".join(_all_words(each) for each in values_at(content, "reaction", "substance"))
    told = qualified(tell(words) or Told(ACTIVE, is_reaction=False), concept_text(content.get("code")))
    found_codes = codes_of(content, "code")
    if denied := _denied_by_code(concept_text(content.get("code")), found_codes):
        return denied
    if is_family_history(words):
        told = Told(FAMILY, is_reaction=False)
    if told.standing == DENIED and not found_codes.isdisjoint(known_allergens().names_by_code):
        # The code names an allergen: its words alone make no denial of it.
        told = Told(ACTIVE, is_reaction=False)
    reading = reading_of(
        concept_text(content.get("code")),
        f"{words} {substances}",
        found_codes,
        _standing(content, told),
        is_reaction=False,
    )
    stated = frozenset(each for each in values_at(content, "category") if isinstance(each, str))
    return reading._replace(categories=stated or reading.categories) if reading.standing != DENIED else reading


def _read_observation(content: Mapping[str, Any]) -> AllergyReading | None:
    if "valueQuantity" in content or content.get("status") in _NO_VALUE:
        return None
    if "component" in content:
        return _read_components(content)
    name, value = _all_words(content.get("code")), _value_words(content)
    found_codes = codes_of(content, "code")
    heading = concept_text(content.get("code"))
    words = allergy_words()
    value_codes = codes_of(content, "valueCodeableConcept")
    if denied := _denied_by_code(value or heading, found_codes | value_codes):
        return denied
    if value and not _is_coded_allergen(found_codes | value_codes) and says_unknown(value):
        told_of_heading = tell(name) or heading.strip(" :.").casefold() in words.headings
        return AllergyReading(f"{heading}: {value}", UNKNOWN, *_NOTHING, is_reaction=False) if told_of_heading else None
    is_nothing = value.strip(" .").casefold() in words.nothing or content.get("valueBoolean") is False
    if heading.strip(" :.").casefold() in words.headings or not found_codes.isdisjoint(words.heading_codes):
        told = tell(value) or Told(ACTIVE, is_reaction=False)
        standing = DENIED if is_nothing else told.standing
        shown = f"{heading}: {value}" if standing == DENIED else value or heading
        named = f"{heading} {value}" if standing == DENIED else value
        return reading_of(shown, named, value_codes, standing, is_reaction=told.is_reaction)
    told_of_name = tell(name)
    if told_of_name is None and not found_codes.isdisjoint(words.codes) and not is_family_history(name):
        told_of_name = Told(ACTIVE, is_reaction=False)
    if told_of_name is not None:
        standing = DENIED if is_nothing else told_of_name.standing
        shown = f"{heading}: {value}" if value else heading
        return reading_of(shown, f"{name} {value}", found_codes, standing, is_reaction=told_of_name.is_reaction)
    told_of_value = tell(value) if len(value) <= _MAX_VALUE_LENGTH else None
    if told_of_value is None:
        return None
    return reading_of(
        f"{heading}: {value}",
        value,
        value_codes,
        told_of_value.standing,
        is_reaction=told_of_value.is_reaction,
    )


def _read_components(content: Mapping[str, Any]) -> AllergyReading | None:
    """What the parts of an Observation tell, where one of them is named "Allergen" or the like."""
    worded = [each for each in objects_at(content, "component") if not _WORDED.isdisjoint(each)]
    parts = [(concept_text(each.get("code")), _value_words(each)) for each in worded]
    allergens = [value for name, value in parts if value and _plain(name) in allergy_words().component_headings]
    if not allergens:
        return None
    shown = "; ".join(f"{name}: {value}" for name, value in parts if value)
    if all(_plain(each) in allergy_words().nothing for each in allergens):
        return reading_of(shown, "", (), DENIED, is_reaction=False)
    if all(says_unknown(each) for each in allergens):
        return AllergyReading(shown, UNKNOWN, *_NOTHING, is_reaction=False)
    return reading_of(shown, " ".join(allergens), (), ACTIVE, is_reaction=False)


_NOTHING: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())


def _plain(words: str) -> str:
    return words.strip(" .:-").casefold()


def _is_coded_allergen(found_codes: Iterable[Code]) -> bool:
    return not known_allergens().names_by_code.keys().isdisjoint(found_codes)


def _without_allergen(words: str, found_codes: Iterable[Code]) -> AllergyReading | None:
    """The reading of an AllergyIntolerance that names no allergen, such as "Nil", "Allergies: none" or "Unknown"."""
    said = {_plain(_after_heading(each)) for each in words.split(" | ")}
    rules = allergy_words()
    if not rules.unknown_codes.isdisjoint(found_codes):
        return AllergyReading(words or "No information about allergies", UNKNOWN, *_NOTHING, is_reaction=False)
    if said <= {""} or _is_coded_allergen(found_codes):
        return None
    shown = words.split(" | ")[0]
    if said <= rules.unknown or all(says_unknown(each) for each in words.split(" | ")):
        return AllergyReading(shown, UNKNOWN, *_NOTHING, is_reaction=False)
    return reading_of(shown, words, (), DENIED, is_reaction=False) if said <= rules.nothing else None


def _after_heading(words: str) -> str:
    """The words after a heading such as "Drug allergies:"."""
    heading, mark, rest = (each.strip() for each in re.sub(r"\s+-\s+", ":", words, count=1).partition(":"))
    return rest if mark and rest and heading.casefold() in allergy_words().headings else words


def _denied_by_code(words: str, found_codes: Iterable[Code]) -> AllergyReading | None:
    """The reading of a statement with a code that says "none known"; None if it has no such code."""
    denials = allergy_words().denial_codes
    stated = next((denials[code] for code in sorted(found_codes) if code in denials), None)
    return None if stated is None else AllergyReading(words, DENIED, frozenset(), stated, is_reaction=False)


def _value_words(content: Mapping[str, Any]) -> str:
    if "valueCodeableConcept" in content:
        return concept_text(content["valueCodeableConcept"])
    return text_at(content, "valueString")


def _standing(content: Mapping[str, Any], told: Told) -> str:
    """The standing by the statuses of the resource, and else by its words."""
    if told.standing in (DENIED, FAMILY, UNKNOWN):
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
