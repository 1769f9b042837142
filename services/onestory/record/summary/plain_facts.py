"""Tells a fact about the person from a result. Words and codes are `schemas/summary/observation-places.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.summary.values import has_value
from onestory.shared.fhir.json import Code, codes_of, concept_texts, text_at

_SNOMED = "http://snomed.info/sct"
_NUMBERS = ("valueQuantity", "valueInteger", "valueRange", "valueRatio", "valueSampledData", "component")
_OF_A_TEST = ("interpretation", "dataAbsentReason", "referenceRange", "specimen", "hasMember")


_ANSWERS = ("yes", "no", "y", "n")


class _PlainFacts(NamedTuple):
    codes: frozenset[Code]
    words: tuple[str, ...]
    tests: frozenset[str]


@clinical_table
def _plain_facts() -> _PlainFacts:
    table = read_clinical_data("summary/observation-places")
    codes = frozenset((_SNOMED, str(code)) for code in table["codes"])
    return _PlainFacts(codes, tuple(table["words"]), frozenset(table["tests"]))


def is_plain_fact(content: Mapping[str, Any]) -> bool:
    """Whether an Observation measures nothing: it has no number, is no test, and states something about the person."""
    if content.get("resourceType") != "Observation":
        return False
    known = _plain_facts()
    if codes_of(content, "code") & known.codes:
        return True
    if any(name in content for name in _NUMBERS) or any(name in content for name in _OF_A_TEST):
        return False
    if "category" in content and not known.tests.isdisjoint(code for _, code in codes_of(content, "category")):
        return False
    if "valueBoolean" in content or not has_value(content) or text_at(content, "valueString").casefold() in _ANSWERS:
        return True
    names = " ".join(concept_texts(content, "code")).casefold()
    return any(word in names for word in known.words)
