"""Tells whether a name or a value denies what its words say: "no safeguarding concerns", "Domestic abuse: no". Pure.

The words are those under `not` in `schemas/summary/alerts.yaml`. Apart from `places`, which reads the rest of the file,
because that module is long enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.reading import small_letters, words_pattern
from onestory.shared.fhir.json import concept_text, text_at


class _Denials(NamedTuple):
    before: re.Pattern[str]
    after: re.Pattern[str]
    anywhere: re.Pattern[str]
    values: frozenset[str]
    begins: tuple[str, ...]


@clinical_table
def _denials() -> _Denials:
    table = read_clinical_data("summary/alerts")["not"]
    return _Denials(
        # A clause ends at a dash between spaces and at other marks: "no lone visits - violent patient" is an alert.
        re.compile(rf"{words_pattern(table['before']).pattern}(?: [a-z0-9'/]++){{0,5}} ?$"),
        re.compile(rf"^[\s:;,.=()-]*{words_pattern(table['after']).pattern}[\s.)]*$"),
        words_pattern(table["anywhere"]),
        frozenset(table["values"]),
        tuple(table["value-begins"]),
    )


def denies(letters: str, start: int, end: int) -> bool:
    """Whether a name in small letters denies the words that stand in it from `start` to `end`."""
    denials, before, after = _denials(), letters[:start], letters[end:]
    if denials.before.search(before) or denials.after.search(after):
        return True
    return denials.anywhere.search(f"{before}|{after}") is not None


def is_denied_by_value(content: Mapping[str, Any]) -> bool:
    """Whether the value of an Observation denies what its name says."""
    stated = text_at(content, "valueString") or concept_text(content.get("valueCodeableConcept"))
    letters = small_letters(stated).rstrip(".") if stated else ""
    return letters in _denials().values or letters.startswith(_denials().begins)
