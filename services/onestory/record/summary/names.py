"""Compares the words of a source with the name of its code, and writes what a reader must know where they differ.

The page names a statement by its words, while every rule reads its code. A slip in a source's mapping makes one of them
wrong, and nobody can tell which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.medicines.dmd import dmd_name
from onestory.record.medicines.names import lexicon, named_medicines, strengths_of, words_of
from onestory.record.merge.allergens import allergens_in, known_allergens
from onestory.record.merge.model import Fact
from onestory.record.merge.reading import MEDICINE_TYPES
from onestory.record.summary.allergy_words import page_words
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.text_cache import cache_texts
from onestory.shared.fhir.json import objects, text_of

_COMPARED = (*MEDICINE_TYPES, "AllergyIntolerance", "Condition")
_MEANINGFUL = re.compile(r"[a-z]{4,}")
_STEM = 4
_PIECES = re.compile(r"(?<!\w)(?:tablet|capsule)s?(?!\w)")


def name_remarks(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    """Yields paragraphs of XHTML, one for each way in which words and code of a statement of the fact differ."""
    if fact.resource_type in _COMPARED:
        statements = record.valid_statements(fact)
        yield from dict.fromkeys(
            remark for statement in statements if (remark := _remark(fact.resource_type, statement.content))
        )


def _remark(resource_type: str, content: Mapping[str, Any]) -> str:
    element = "medicationCodeableConcept" if resource_type in MEDICINE_TYPES else "code"
    for concept in objects(content.get(element)):
        words = text_of(concept, "text")
        displays = [text_of(coding, "display") for coding in objects(concept.get("coding"))]
        codes = [text_of(coding, "code") for coding in objects(concept.get("coding"))]
        display = next(filter(None, displays), "") or next(filter(None, map(dmd_name, codes)), "")
        if words and display and words != display and (remark := _compared(resource_type, words, display)):
            return remark
    return ""


@cache_texts(8192)
def _compared(resource_type: str, words: str, display: str) -> str:
    if resource_type in MEDICINE_TYPES:
        contradict = _are_other_medicines(words, display)
    else:
        contradict = resource_type == "AllergyIntolerance" and _are_other_allergens(words, display)
    if contradict:
        return strong(text(f"The code says “{display}”, the words say “{words}”: ask which is meant."))
    # The allergies section finds the name of an allergy in code and words by itself.
    lost = display.casefold().startswith(page_words().unnamed)
    quiet = resource_type != "AllergyIntolerance" and not lost and _share_no_word(words, display)
    return text(f"Coded as “{display}”") if quiet else ""


def _are_other_medicines(words: str, display: str) -> bool:
    """Whether both name known medicines with no ingredient in common, or tablets of two strengths."""
    one, other = _ingredients(words), _ingredients(display)
    if one and other and one.isdisjoint(other):
        return True
    if not (_PIECES.search(words.casefold()) and _PIECES.search(display.casefold())):
        return False
    strengths = [strengths_of(words), strengths_of(display)]
    return all(len(each) == 1 for each in strengths) and strengths[0] != strengths[1]


def _ingredients(name: str) -> frozenset[str]:
    names = lexicon().names
    return frozenset(each for found in named_medicines(words_of(name)) for each in names[found])


def _are_other_allergens(words: str, display: str) -> bool:
    """Whether both name known allergens that neither are the same nor belong to one class."""
    one, other = allergens_in(words), allergens_in(display)
    classes_of = known_allergens().classes_of
    return bool(one and other) and (one | classes_of(one)).isdisjoint(other | classes_of(other))


def _share_no_word(words: str, display: str) -> bool:
    """Whether the two have no word in common. A text of abbreviations only is not compared."""
    one, other = (_stems(each) for each in (words, display))
    return bool(one and other) and one.isdisjoint(other)


def _stems(name: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in _MEANINGFUL.findall(name.casefold()))
