"""What a result measures by its name, for results without codes. Names are `schemas/merge/result-names.yaml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.values import worded
from onestory.record.text_cache import cache_texts
from onestory.shared.fhir.json import Code, objects, text


def named(measurement: str) -> Code:
    """The code that stands for the name of a measurement. No code system of a source is empty."""
    return ("", measurement)


@clinical_table
def _measurements() -> Mapping[str, str]:
    """The measurement of each name."""
    return {name: kind for kind, names in read_clinical_data("merge/result-names").items() for name in names}


@cache_texts(8192)
def measurement_named(name: str) -> str:
    """The measurement that a name stands for; "" if it is in no list."""
    return _measurements().get(worded(name), "")


def code_by_name(content: Mapping[str, Any]) -> Code | None:
    """The measurement that a resource names, else its own name; None if it has no name."""
    names = list(_names(content))
    known = next(filter(None, map(measurement_named, names)), "") or next(filter(None, map(worded, names)), "")
    return named(known) if known else None


def _names(content: Mapping[str, Any]) -> Iterator[str]:
    for concept in objects(content.get("code")):
        yield text(concept.get("text"))
        yield from (text(coding.get("display")) for coding in objects(concept.get("coding")))
