"""Finds warnings against a medicine that are no allergy: "Avoid NSAIDs", malignant hyperthermia.

The words are in `schemas/merge/allergy-mentions.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.allergens import allergens_in, known_allergens, phrase_pattern
from onestory.record.merge.allergy_phrases import WARNING, AllergyReading, reading_of
from onestory.record.merge.qualifiers import RULED_OUT, qualification
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.json import concept_text, text_at, values_at

RULE, NAMED_RULE, CONDITION = "rule", "named-rule", "condition"
"""Kinds of warnings: a rule not to give something, one that counts only as a name, and a condition to know of."""
_FIRST_PART = re.compile(r"\s[-\u2013]\s|[:;,(]")
_OVER = ("resolved", "inactive", "remission")
_NO_STATEMENT = ("cancelled", "registered", "inactive", "entered-in-error")


class WarningWords(NamedTuple):
    """The warnings of the file as expressions. `before` and `after` take the fillers with them."""

    before: re.Pattern[str]
    after: re.Pattern[str]
    alone: re.Pattern[str]
    rules: re.Pattern[str]
    names: re.Pattern[str]
    conditions: re.Pattern[str]
    illnesses: re.Pattern[str]
    caused: re.Pattern[str]


@clinical_table
def warning_words() -> WarningWords:
    """The words, read once. Raises `Misconfigured` when the file lacks a part."""
    raw = read_clinical_data("merge/allergy-mentions")["warnings"]
    try:
        fillers = "|".join(re.escape(each) for each in sorted(raw["fillers"], key=lambda each: (-len(each), each)))
        between = rf"\s*(?:(?:{fillers})(?!\w)\s*|[-\u2013:(,]\s*){{0,4}}"
        before, after = (phrase_pattern(raw[name]).pattern for name in ("before", "after"))
        return WarningWords(
            re.compile(rf"(?:{before}){between}"),
            # "Paracetamol, avoid overheating" forbids something else.
            re.compile(rf"{between}(?:{after})(?:\W*$|\s*[^\w\s]|\s+(?:in|if|as|due|because|with|for|until|while)\b)"),
            re.compile(rf"^\W*(?:{'|'.join(map(re.escape, raw['alone']))})\s+"),
            phrase_pattern(raw["rules"]),
            phrase_pattern(raw["names"]),
            phrase_pattern(raw["conditions"]),
            phrase_pattern(raw["illnesses"]),
            phrase_pattern(raw["caused"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"schemas/merge/allergy-mentions.yaml cannot be used: {error!r}.") from error


@cache_texts(16384, read=MAX_READ_LENGTH)
def warning_in(words: str) -> str:
    """The kind of warning that a text holds: `RULE` or `CONDITION`; "" if it holds none."""
    known, folded = warning_words(), words.casefold()
    if known.rules.search(folded) or _forbids(folded, known):
        return RULE
    if known.names.search(folded):
        return NAMED_RULE
    is_known = known.conditions.search(folded) or _was_caused(folded.replace("-", " "), known)
    return CONDITION if is_known and RULED_OUT not in qualification(words).kinds else ""


def _was_caused(words: str, known: WarningWords) -> bool:
    """Whether the text tells of a serious illness that a medicine caused."""
    if not (known.illnesses.search(words) and known.caused.search(words)):
        return False
    return "medication" in known_allergens().categories_of(allergens_in(words))


def _forbids(words: str, known: WarningWords) -> bool:
    allergen = known_allergens().word_pattern
    if any(allergen.match(words, found.end()) for found in known.before.finditer(words)):
        return True
    found = known.alone.match(words)
    if found and (named := allergen.match(words, found.end())) and not re.match(r"\s*\w", words[named.end() :]):
        return True
    return known.after.search(words) is not None and any(
        known.after.match(words, named.end()) for named in allergen.finditer(words)
    )


def warning_named(resource_type: str, content: Mapping[str, Any]) -> AllergyReading | None:
    """The warning that the name of a resource holds, or the value of an Observation; None if it holds none."""
    if "valueQuantity" in content or "component" in content:
        return None
    words = concept_text(content.get("code"))
    if resource_type == "Observation" and (value := _value(content)):
        words = f"{words}: {value}"
    kind = warning_in(words)
    if not kind or "refuted" in values_at(content, "verificationStatus", "coding", "code"):
        return None
    if kind != CONDITION and _is_over(content):
        return None
    return reading_of(words, words, (), WARNING, is_reaction=False, is_aside=kind == CONDITION or _names_more(content))


def _names_more(content: Mapping[str, Any]) -> bool:
    """Whether a name with a rule is that of a problem too: "Asthma - avoid beta blockers"."""
    displays = [each for each in values_at(content, "code", "coding", "display") if isinstance(each, str)]
    first = _FIRST_PART.split(concept_text(content.get("code")), maxsplit=1)[0]
    return any(not (warning_in(each) or allergens_in(each)) for each in (first, *displays))


def _value(content: Mapping[str, Any]) -> str:
    return concept_text(content.get("valueCodeableConcept")) or text_at(content, "valueString")


def _is_over(content: Mapping[str, Any]) -> bool:
    """Whether a rule no longer holds. A condition of the body stays a warning when its problem is closed."""
    clinical = values_at(content, "clinicalStatus", "coding", "code")
    return (
        (any(each in clinical for each in _OVER) and "active" not in clinical)
        or content.get("status") in _NO_STATEMENT
        or any(name.startswith("abatement") for name in content)
    )
