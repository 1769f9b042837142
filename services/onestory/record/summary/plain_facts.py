"""Tells a fact about the person from a result. Words and codes are `schemas/summary/observation-places.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.summary.values import has_value
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts
from onestory.shared.fhir.json import Code, codes_of, concept_texts, text_at

_SNOMED = "http://snomed.info/sct"
_NUMBERS = ("valueQuantity", "valueInteger", "valueRange", "valueRatio", "valueSampledData", "component")
_OF_A_TEST = ("interpretation", "dataAbsentReason", "referenceRange", "specimen", "hasMember")


_ANSWERS = ("yes", "no", "y", "n")


class _PlainFacts(NamedTuple):
    codes: frozenset[Code]
    words: tuple[str, ...]
    with_number: tuple[str, ...]
    measured: tuple[str, ...]
    tests: frozenset[str]


@clinical_table
def _plain_facts() -> _PlainFacts:
    table = read_clinical_data("summary/observation-places")
    codes = frozenset((_SNOMED, str(code)) for code in table["codes"])
    return _PlainFacts(
        codes,
        tuple(table["words"]),
        tuple(table["with-number"]),
        tuple(table["measured"]),
        frozenset(table["tests"]),
    )


def is_plain_fact(content: Mapping[str, Any]) -> bool:
    """Whether an Observation states something about the person, and is no test or measurement that grows old.

    One with a number is a fact only if its name says so, such as the units of alcohol in a week.
    """
    if content.get("resourceType") != "Observation":
        return False
    known = _plain_facts()
    if codes_of(content, "code") & known.codes:
        return True
    if "category" in content and not known.tests.isdisjoint(code for _, code in codes_of(content, "category")):
        return False
    is_number = any(name in content for name in _NUMBERS)
    if not is_number and any(name in content for name in _OF_A_TEST):
        return False
    is_answer = "valueBoolean" in content or text_at(content, "valueString").casefold() in _ANSWERS
    if not is_number and (is_answer or not has_value(content)):
        return True
    return any(_names_fact(name, is_number) for name in concept_texts(content, "code"))


@cache_texts(8192, read=MAX_READ_LENGTH)
def _names_fact(name: str, is_number: bool) -> bool:
    known, letters = _plain_facts(), name.casefold()
    if not is_number:
        return any(word in letters for word in known.words)
    return any(word in letters for word in known.with_number) and not any(word in letters for word in known.measured)
